//! The Overhand client: writes and reads shuffles from any engine.
