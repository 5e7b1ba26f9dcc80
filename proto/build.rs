//! Compiles the .proto files with a compiler written in Rust: no protoc has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=overhand/v1/control.proto");
    let files = protox::compile(["overhand/v1/control.proto"], ["."])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
