//! Other processes on the same server: none uses a sandbox whose database one of them copies, replaces or drops.
//!
//! Who is about to tells the others [`What::Busy`] and waits until they have let go of it; then [`What::Free`]. A word that is
//! lost costs a second: each process compares its open cells with the registry as often. See
//! `docs/decisions/0020-replicas.md`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use fabric::{
    cache::{Cache, Heard, Subscription},
    postgres::{Login, Logins, PgConnectOptions, Reason, Tx},
};
use kernel::{Error, Result, SandboxName, Slug};
use serde::{Deserialize, Serialize};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    cell::{Cell, draining},
    clocks,
    control::SandboxRow,
    error::OpenError,
    estate::Estate,
    installation::Installation,
    opening::CONTROL,
    parts::Parts,
    turn::Turn,
};

/// The topic of what is said.
const TOPIC: &str = "sandboxes";
/// How long the others get to finish what they do for a sandbox; then their sessions are ended.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between looks whether they have.
const LOOK: Duration = Duration::from_millis(10);
/// Who said that a sandbox is busy and then nothing more has been killed by then.
const LONGEST_WORK: Duration = Duration::from_secs(30);
/// The advisory lock that every process holds in the control database, shared.
const HERE: i64 = 0x706b_6865_7265;

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    /// Nobody else may use the database of this sandbox.
    Busy(SandboxName),
    /// Everybody may again; it may be another one, or none.
    Free(SandboxName),
    /// The clock of this sandbox was set.
    Clock(SandboxName),
    /// A session of the operator began or ended.
    Sessions,
}

#[derive(Serialize, Deserialize)]
struct Word {
    by: Uuid,
    what: What,
}

/// This process among the others.
pub(crate) struct Fellows {
    cache: Cache,
    me: Uuid,
    /// What others are busy with here, and how the wait for them ends.
    busy: Mutex<HashMap<SandboxName, oneshot::Sender<()>>>,
    /// How the control database is reached, and the connection whose session shows that we are here.
    options: PgConnectOptions,
    here: tokio::sync::Mutex<Option<PgConnection>>,
}

/// The others may use a sandbox again when this is dropped.
pub(crate) struct Release {
    estate: Arc<Estate>,
    name: SandboxName,
    _lock: Tx,
}

/// A sandbox that no other process changes until this is dropped.
pub(crate) struct Unchanged {
    pub(crate) row: SandboxRow,
    _lock: Tx,
}

impl Drop for Release {
    fn drop(&mut self) {
        let (estate, name) = (Arc::clone(&self.estate), self.name.clone());
        tokio::spawn(async move { estate.say(What::Free(name)).await });
    }
}

impl Fellows {
    /// None for the embedded server, which serves one process.
    pub(crate) fn new(parts: &Parts, installation: &Installation) -> Option<Self> {
        if parts.embedded().is_some() {
            return None;
        }
        // A Valkey may serve several installations.
        let mark = installation.key().derive(&["fellows"]);
        let mark: String = mark.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let logins = Logins::control(installation.key().branch("control"));
        Some(Self {
            cache: parts.cache.part(&mark),
            me: Uuid::new_v4(),
            busy: Mutex::default(),
            options: logins.options(&parts.cluster, Login::System, CONTROL).disable_statement_logging(),
            here: tokio::sync::Mutex::default(),
        })
    }

    /// Enters. Answers whether nobody else is here: then what is half done was left by the dead, and stays ours to clear
    /// away until [`Self::settle`].
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn enter(&self) -> Result<bool, OpenError> {
        let mut connection = self.options.connect().await.map_err(Error::internal)?;
        let (alone,): (bool,) = sqlx::query_as("select pg_try_advisory_lock($1)")
            .bind(HERE)
            .fetch_one(&mut connection)
            .await
            .map_err(Error::internal)?;
        if !alone {
            // Waits for one that clears away.
            share(&mut connection).await?;
        }
        *self.here.lock().await = Some(connection);
        Ok(alone)
    }

    /// Lets others in.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn settle(&self) -> Result<(), OpenError> {
        let mut here = self.here.lock().await;
        let Some(connection) = here.as_mut() else { return Ok(()) };
        share(connection).await?;
        let unlock = sqlx::query("select pg_advisory_unlock($1)").bind(HERE).execute(connection).await;
        unlock.map(drop).map_err(|error| Error::internal(error).into())
    }

    /// After the server was away, our session there is no more: we enter again.
    async fn stay(&self) -> Result<()> {
        let mut here = self.here.lock().await;
        if let Some(connection) = here.as_mut()
            && connection.ping().await.is_ok()
        {
            return Ok(());
        }
        let mut connection = self.options.connect().await.map_err(Error::internal)?;
        share(&mut connection).await?;
        *here = Some(connection);
        Ok(())
    }

    pub(crate) async fn ears(&self) -> Result<Subscription> {
        self.cache.subscribe(TOPIC).await
    }

    fn waits(&self) -> std::sync::MutexGuard<'_, HashMap<SandboxName, oneshot::Sender<()>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn share(connection: &mut PgConnection) -> Result<()> {
    let locked = sqlx::query("select pg_advisory_lock_shared($1)").bind(HERE).execute(connection).await;
    locked.map(drop).map_err(Error::internal)
}

impl Estate {
    /// The turn, when nobody uses the sandbox's database any more: neither our cell, nor those of other processes. Its row
    /// is as it is then.
    ///
    /// # Errors
    /// `not-found`, or what the server says.
    pub(crate) async fn turn_alone(self: &Arc<Self>, name: &SandboxName) -> Result<Turn> {
        let mut turn = self.turn(name).await?;
        self.close_cell(&turn.slot).await;
        if self.fellows.is_none() {
            return Ok(turn);
        }
        let lock = self.control.lock(name).await?;
        turn.row = self.control.find(name).await?;
        self.say(What::Busy(name.clone())).await;
        turn.alone = Some(Release { estate: Arc::clone(self), name: name.clone(), _lock: lock });
        let database = name.database();
        let give_up = Instant::now() + PATIENCE;
        while self.cluster().sessions(&database).await.map_err(Error::internal)? > 0
            && Instant::now() < give_up
        {
            tokio::time::sleep(LOOK).await;
        }
        Ok(turn)
    }

    /// The sandbox as it is while no other process changes it; None where there can be no other.
    pub(crate) async fn unchanged(&self, name: &SandboxName) -> Result<Option<Unchanged>> {
        if self.fellows.is_none() {
            return Ok(None);
        }
        let Ok(lock) = tokio::time::timeout(PATIENCE, self.control.lock_shared(name)).await else {
            return Err(draining());
        };
        let _lock = lock?;
        Ok(Some(Unchanged { row: self.control.find(name).await?, _lock }))
    }

    /// The clock of a sandbox was set here: it is on the other processes, too.
    pub(crate) async fn tell_clock(&self, name: &SandboxName) {
        self.say(What::Clock(name.clone())).await;
    }

    /// A session of the operator began or ended here: it does on the other processes, too.
    pub(crate) async fn tell_sessions(&self) {
        self.say(What::Sessions).await;
    }

    async fn say(&self, what: What) {
        let Some(fellows) = &self.fellows else { return };
        let word = Word { by: fellows.me, what };
        let Ok(text) = serde_json::to_vec(&word) else { return };
        if let Err(error) = fellows.cache.publish(TOPIC, text).await {
            tracing::warn!(what = ?word.what, ?error, "other processes find out by themselves, within a second");
        }
    }

    /// Hears the others until it is stopped.
    pub(crate) async fn hear_fellows(self: Arc<Self>, mut ears: Subscription, stop: CancellationToken) {
        let Some(fellows) = &self.fellows else { return };
        loop {
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                heard = ears.next() => heard,
            };
            let word = match heard {
                Some(Heard::Message(text)) => serde_json::from_slice::<Word>(&text).ok(),
                Some(Heard::Interrupted) => None,
                None => return,
            };
            let Some(word) = word else {
                self.set_all_clocks().await;
                continue;
            };
            if word.by == fellows.me {
                continue;
            }
            match word.what {
                What::Busy(name) => {
                    let (done, over) = oneshot::channel();
                    fellows.waits().insert(name.clone(), done);
                    tokio::spawn(Arc::clone(&self).stand_aside(name, over));
                }
                What::Free(name) => drop(fellows.waits().remove(&name)),
                What::Clock(name) => {
                    if let Some(cell) = self.open_slot(&name).and_then(|slot| slot.cell()) {
                        follow_clock(&cell).await;
                    }
                }
                What::Sessions => {
                    if let Err(error) = self.operator.learn_sessions().await {
                        tracing::warn!(
                            ?error,
                            "the operator's sessions can't be read; again within a second"
                        );
                    }
                }
            }
        }
    }

    /// Closes the cell of a sandbox that another process works on; whoever asks for it waits until that is over.
    async fn stand_aside(self: Arc<Self>, name: SandboxName, over: oneshot::Receiver<()>) {
        let slot = self.slot(&name);
        let held = slot.change.clone().lock_owned().await;
        self.close_cell(&slot).await;
        if tokio::time::timeout(LONGEST_WORK, over).await.is_err() {
            tracing::warn!(sandbox = %name, "the process that was busy with it said no more: it is opened again");
        }
        // It may be no more; whoever waits for the slot takes a new one then.
        self.forget_slot(&name);
        drop(held);
    }

    /// What a lost word would have told: the operator's sessions are known, cells of sandboxes that are gone, or have another database by now, are closed.
    pub(crate) async fn look_at_fellows(&self) -> Result<()> {
        let Some(fellows) = &self.fellows else { return Ok(()) };
        fellows.stay().await?;
        self.operator.learn_sessions().await?;
        let cells = self.open_cells();
        let names: Vec<String> = cells.iter().map(|cell| cell.name().to_string()).collect();
        let known: HashMap<String, i64> = self.control.generations(names).await?.into_iter().collect();
        for cell in cells.iter().filter(|cell| known.get(cell.name().as_str()) != Some(&cell.generation)) {
            let turn = match self.turn(cell.name()).await {
                Ok(turn) => turn,
                Err(error) if error.slug() == Slug::NotFound => {
                    cell.close().await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let is_it = turn.slot.cell().is_some_and(|now| Arc::ptr_eq(&now, cell));
            if is_it && turn.row.generation != cell.generation {
                self.close_cell(&turn.slot).await;
            }
        }
        Ok(())
    }

    async fn set_all_clocks(&self) {
        for cell in self.open_cells() {
            follow_clock(&cell).await;
        }
    }
}

/// Sets a cell's clock to what its database says.
async fn follow_clock(cell: &Cell) {
    match clocks::setting(&cell.db().system(&cell.cx("sandbox"), Reason::Sandbox)).await {
        Ok(setting) => cell.clock().adjust(setting),
        Err(error) => tracing::warn!(sandbox = %cell.name(), ?error, "its clock can't be read"),
    }
}
