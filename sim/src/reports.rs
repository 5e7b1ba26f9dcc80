//! A worker's reports and what it deletes because of the answers: the real ones, over simulated calls.

use std::{sync::Arc, time::Duration};

use overhand_server::{
    health::Health,
    worker::{self, Deletions, Reports, store::Store},
};

use crate::{
    clock::{Host, Sim},
    control::{COORDINATORS, Control, Refusal},
    options::Broken,
    worker::Worker,
};

/// Reports for `worker` as long as it runs.
pub fn start(sim: &Sim, control: &Control, host: Host, worker: &Worker, broken: Option<Broken>) {
    let place = worker::Place {
        data_address: worker.place().address,
        control_address: format!("w{host}:7337"),
        host: format!("w{host}"),
        zone: String::new(),
        tags: vec![],
    };
    let health = Health::default();
    let part = |number: usize| (format!("c{number}:7337"), health.part(format!("coordinator {number}")));
    let coordinators = (0..COORDINATORS).map(part).collect();
    let (reports, deletions) = Reports::new(worker.store().clone(), control.secret().clone(), place, coordinators);
    for number in 0..reports.count() {
        let (sim, control, reports) = (sim.clone(), control.clone(), Arc::clone(&reports));
        sim.clone().spawn(host, async move { report(&sim, &control, host, &reports, number, broken).await });
    }
    let (control, store) = (control.clone(), worker.store().clone());
    sim.spawn(host, async move { delete(&control, host, &store, deletions, broken).await });
}

async fn report(sim: &Sim, control: &Control, host: Host, reports: &Reports, to: usize, broken: Option<Broken>) {
    let mut news = reports.news();
    loop {
        let begun = sim.now();
        news.mark_unchanged();
        let (request, deleted) = reports.next(to).expect("the secret signs");
        let answer = control.call(host, to, move |service, now| service.heartbeat(request, now)).await;
        let is_heard = answer.is_ok();
        let pause = match answer {
            Ok(mut answer) => {
                if broken == Some(Broken::OneWordIsEnough) {
                    answer.ended_apps.append(&mut answer.expired_apps);
                }
                reports.heard(to, &deleted, answer)
            }
            Err(Refusal::OutOfReach) => reports.unheard(to, "it does not answer".into()),
            Err(Refusal::Said(error)) => reports.unheard(to, error.to_string()),
        };
        let rest = (begun + pause).saturating_sub(sim.now());
        if !is_heard {
            sim.sleep(rest).await;
        } else if sim.timeout(rest, news.changed()).await.is_some() {
            // In which order news wakes those that wait for it is no seed's choice.
            sim.sleep(Duration::from_micros(1 + to as u64)).await;
        }
    }
}

async fn delete(control: &Control, host: Host, store: &Store, mut deletions: Deletions, broken: Option<Broken>) {
    while let Some(app) = deletions.next().await {
        control.promise().deletes(host);
        let done = match broken {
            Some(Broken::NoDeleting) => Ok(()),
            _ => store.remove_app(&app).await,
        };
        deletions.ended(app, done);
    }
}
