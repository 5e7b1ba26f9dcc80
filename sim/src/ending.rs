//! How the application ends: by the driver's word or by its death, while things fail; and what must be gone afterwards.

use std::time::Duration;

use overhand_client::{AppId, Attempt};
use overhand_server::disk::SegmentName;

use crate::{
    clock::Sim,
    control::Control,
    driver::Driver,
    lease::Lease,
    reader::READERS,
    run::draw_output,
    world::World,
    writer::{Client, WRITERS},
};

/// How long the last fault may last.
const LAST_FAULT: Duration = Duration::from_secs(60);

/// An application that is to end.
pub struct Ending<'a> {
    /// The world.
    pub sim: &'a Sim,
    /// Its driver.
    pub driver: &'a Driver,
    /// The driver's lease.
    pub lease: &'a Lease,
    /// The coordinators.
    pub control: &'a Control,
    /// The workers.
    pub world: &'a World,
}

impl Ending<'_> {
    /// Has map tasks of `shuffle` write with `client`, ends the application among faults, and lets everybody hear of it.
    pub async fn run(&self, client: &Client, shuffle: u32, partitions: u32) {
        let Self { sim, control, world, .. } = self;
        for map_index in 0..sim.pick(1..6) as u32 {
            let client = client.clone();
            sim.spawn(WRITERS, async move {
                let sim = client.sim.clone();
                for number in 0.. {
                    sim.sleep(sim.millis(0..10_000)).await;
                    let attempt = Attempt { map_index, attempt: 1000 * u64::from(shuffle) + number };
                    // What is written here is not read.
                    let _ = client.write(attempt, &draw_output(&sim, partitions)).await;
                }
            });
        }
        let time = Duration::from_secs(sim.pick(5..60));
        sim.spawn(0, (*world).clone().torment(time));
        sim.spawn(0, (*control).clone().torment(time, world.hosts(), control.lease() * 2));
        sim.sleep(sim.millis(1000..60_000)).await;
        self.say_goodbye().await;
        // Executors may outlive their driver a little.
        sim.sleep(sim.millis(0..20_000)).await;
        sim.kill(WRITERS);
        sim.kill(READERS);
        sim.sleep(time + LAST_FAULT).await;
        world.heal();
        // A lease from when the last worker or coordinator was back, and one from when all data was known.
        sim.sleep(control.lease() * 2 + Duration::from_secs(30)).await;
    }

    async fn say_goodbye(&self) {
        if self.sim.chance(50) {
            self.sim.trace(format_args!("the driver ends the application"));
            let told = self.lease.end().await;
            self.sim.trace(format_args!("the driver has ended the application: {told}"));
        } else {
            self.sim.trace(format_args!("the driver dies"));
        }
        self.driver.die();
    }

    /// What workers hold of `app`, for people; empty if all is gone.
    pub fn remains(&self, app: &AppId) -> Vec<String> {
        let mut remains = vec![];
        for worker in self.world.workers() {
            let (usage, at) = (worker.store().usage(), worker.place().address);
            if worker.store().apps().contains(app) || (usage.memory_used, usage.disk_used) != (0, 0) {
                remains.push(format!("{at} holds {usage:?} of an application that is over"));
            }
        }
        for host in self.world.hosts() {
            if SegmentName::app_dir(&self.world.folder(host), app).exists() {
                remains.push(format!("the disk of worker {host} has a folder of an application that is over"));
            }
            self.world.reopen(host);
        }
        for worker in self.world.workers().iter().filter(|worker| worker.store().apps().contains(app)) {
            remains.push(format!("{} finds an application that is over when it starts", worker.place().address));
        }
        remains
    }
}
