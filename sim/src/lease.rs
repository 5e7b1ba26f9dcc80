//! The driver's lease: the real keepers, between simulated calls to the coordinators.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use overhand_client::{
    AppId,
    sim::{Answer, Keeper, SHORTEST_PAUSE},
};
use overhand_proto::v1::{EndApplicationRequest, KeepAliveRequest, RegisterApplicationRequest};
use tokio::sync::mpsc;

use crate::{
    clock::Sim,
    control::{COORDINATORS, Control, Refusal},
    driver::{DRIVER, Driver},
};

/// When a coordinator knows that the application has ended, the others have this long to hear it too.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The lease with every coordinator.
#[derive(Clone)]
pub struct Lease(Rc<Inner>);

struct Inner {
    sim: Sim,
    control: Control,
    driver: Driver,
    app: AppId,
    token: RefCell<Option<String>>,
    /// What each coordinator answered last; none if it is out of reach.
    answers: RefCell<Vec<Option<Answer>>>,
    is_over: Cell<bool>,
}

impl Lease {
    /// Takes a lease with every coordinator and keeps it while the driver lives.
    pub fn start(sim: &Sim, control: &Control, driver: &Driver, app: &AppId) -> Self {
        let this = Self(Rc::new(Inner {
            sim: sim.clone(),
            control: control.clone(),
            driver: driver.clone(),
            app: app.clone(),
            token: RefCell::default(),
            answers: RefCell::new(vec![None; COORDINATORS]),
            is_over: Cell::default(),
        }));
        for number in 0..COORDINATORS {
            sim.spawn(DRIVER, this.clone().keep(number));
        }
        this
    }

    async fn keep(self, number: usize) {
        let Inner { sim, control, driver, answers, .. } = &*self.0;
        let mut keeper = Keeper::default();
        while !self.0.is_over.get() {
            let answer = match self.keep_once(number, &keeper).await {
                Ok((lease, answer)) => {
                    control.promise().kept();
                    keeper.kept(lease);
                    Some(answer)
                }
                Err(refusal) => {
                    if let Refusal::Said(error) = refusal {
                        control.promise().refused(&error);
                    }
                    keeper.failed();
                    None
                }
            };
            answers.borrow_mut()[number] = answer;
            driver.see(answers.borrow().iter().flatten());
            sim.sleep(SHORTEST_PAUSE).await;
            sim.timeout(keeper.pause() - SHORTEST_PAUSE, driver.wants_news()).await;
        }
    }

    async fn keep_once(&self, number: usize, keeper: &Keeper) -> Result<(Duration, Answer), Refusal> {
        let Inner { control, app, token, .. } = &*self.0;
        let known = token.borrow().clone().filter(|_| keeper.is_known());
        if let Some(token) = known {
            let request = KeepAliveRequest { token, health: None };
            match control.call(DRIVER, number, move |service, now| service.keep_alive(request, now)).await {
                Ok(kept) => {
                    let answer = Answer::read(kept.workers, kept.replicas, kept.over_quota);
                    return Ok((Duration::from_millis(kept.lease_ms), answer));
                }
                Err(Refusal::Said(error)) if Keeper::registers_anew(&error) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let request = RegisterApplicationRequest { app: app.to_string(), ..RegisterApplicationRequest::default() };
        let registered = control.call(DRIVER, number, move |service, now| service.register(&request, now)).await?;
        token.borrow_mut().get_or_insert(registered.token);
        let answer = Answer::read(registered.workers, registered.replicas, registered.over_quota);
        Ok((Duration::from_millis(registered.lease_ms), answer))
    }

    /// Tells every coordinator that the application has ended. One that confirms it is enough; the others are waited for
    /// a moment longer. Whether one did.
    pub async fn end(&self) -> bool {
        let Inner { sim, control, token, is_over, .. } = &*self.0;
        is_over.set(true);
        let Some(token) = token.borrow().clone() else { return false };
        control.promise().ends();
        let (sender, mut confirmed) = mpsc::unbounded_channel();
        for number in 0..COORDINATORS {
            let (control, sender, token) = (control.clone(), sender.clone(), token.clone());
            sim.spawn(DRIVER, async move {
                let request = EndApplicationRequest { token };
                if control.call(DRIVER, number, move |service, now| service.end(&request, now)).await.is_ok() {
                    // Nobody may wait for it any more.
                    let _ = sender.send(());
                }
            });
        }
        drop(sender);
        let one = confirmed.recv().await.is_some();
        sim.timeout(LAST_WORDS, async { while confirmed.recv().await.is_some() {} }).await;
        one
    }
}
