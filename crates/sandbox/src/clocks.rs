//! The clock of a sandbox. It goes forward only: back is restoring a snapshot.

use std::{sync::Arc, time::Duration};

use fabric::{
    postgres::{FromRow, Handle, Reason, Tx},
    sql,
};
use kernel::{ClockSetting, Ctx, Error, FieldCode, Result, SandboxName, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::estate::Estate;

/// What is done to a sandbox's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", rename_all_fields = "camelCase", tag = "mode", deny_unknown_fields)]
pub enum ClockIn {
    /// Put forward to a moment.
    Set {
        /// The moment, not before what the clock shows.
        to: Timestamp,
    },
    /// Put forward by a time.
    Advance {
        /// How far, in seconds.
        #[schemars(range(min = 1))]
        seconds: u64,
    },
    /// Stopped.
    Freeze {},
    /// Running: one that stood jumps forward over the time it stood.
    Follow {},
}

/// A sandbox's clock.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClockOut {
    /// What it shows.
    pub now: Timestamp,
    /// How far it is ahead of real time, in seconds.
    pub ahead_seconds: i64,
    /// Whether it stands.
    pub frozen: bool,
}

/// The farthest that a clock may be ahead of real time.
const FARTHEST: Duration = Duration::from_secs(100 * 366 * 86_400);

#[derive(FromRow)]
struct Row {
    offset_micros: i64,
    frozen_at: Option<Timestamp>,
}

impl From<Row> for ClockSetting {
    fn from(row: Row) -> Self {
        Self { offset_micros: row.offset_micros, frozen_at: row.frozen_at }
    }
}

/// What a sandbox's clock is set to.
pub(crate) async fn setting(system: &Handle) -> Result<ClockSetting> {
    let row: Row = system.query(sql!("select offset_micros, frozen_at from kernel.clock")).one().await?;
    Ok(row.into())
}

/// The same, and nobody else changes it until the transaction ends.
async fn lock(tx: &mut Tx) -> Result<ClockSetting> {
    let row: Row =
        tx.query(sql!("select offset_micros, frozen_at from kernel.clock for update")).one().await?;
    Ok(row.into())
}

impl Estate {
    /// A sandbox's clock.
    ///
    /// # Errors
    /// `not-found`, or what opening it says.
    pub async fn clock(self: &Arc<Self>, name: &SandboxName) -> Result<ClockOut> {
        let cell = self.cell(name).await?;
        let cx = cell.cx("sandbox");
        Ok(told(setting(&cell.db().system(&cx, Reason::Sandbox)).await?))
    }

    /// Puts a sandbox's clock forward, stops it or lets it run.
    ///
    /// # Errors
    /// `not-found`; `validation-error` for a moment that is past or too far.
    pub async fn set_clock(
        self: &Arc<Self>,
        cx: &Ctx,
        name: &SandboxName,
        change: ClockIn,
    ) -> Result<ClockOut> {
        let cell = self.cell(name).await?;
        let mut tx = cell.db().system(cx, Reason::Sandbox).begin().await?;
        let setting = changed(lock(&mut tx).await?, change, Timestamp::real())?;
        tx.query(sql!("update kernel.clock set offset_micros = $1, frozen_at = $2"))
            .bind(setting.offset_micros)
            .bind(setting.frozen_at)
            .run()
            .await?;
        let out = tx.commit(told(setting)).await?;
        cell.clock().adjust(setting);
        self.tell_clock(name).await;
        tracing::info!(sandbox = %name, now = %out.now, frozen = out.frozen, "the clock was set");
        Ok(out)
    }
}

fn told(setting: ClockSetting) -> ClockOut {
    let real = Timestamp::real();
    let now = setting.shows(real);
    ClockOut {
        now,
        ahead_seconds: (now.micros() - real.micros()).div_euclid(1_000_000),
        frozen: setting.frozen_at.is_some(),
    }
}

fn changed(setting: ClockSetting, change: ClockIn, real: Timestamp) -> Result<ClockSetting> {
    let now = setting.shows(real);
    let (to, field) = match change {
        ClockIn::Freeze {} => return Ok(setting.frozen(real)),
        ClockIn::Follow {} => return Ok(setting.running()),
        ClockIn::Set { to } => (to, "/to"),
        ClockIn::Advance { seconds } => (now.plus(Duration::from_secs(seconds)), "/seconds"),
    };
    if to.since(real) > FARTHEST {
        let message = "is more than 100 years ahead of real time";
        return Err(Error::field(field, FieldCode::OutOfRange, message));
    }
    setting.put_to(to, real).ok_or_else(|| {
        let message = format!("lies before {now}, what the clock shows; to go back, restore a snapshot");
        Error::field(field, FieldCode::OutOfRange, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_never_put_back_nor_out_of_the_calendar() {
        let real = Timestamp::real();
        let clock = ClockSetting { offset_micros: 3_600_000_000, frozen_at: None };
        let past = changed(clock, ClockIn::Set { to: real }, real).unwrap_err();
        assert_eq!(past.field_errors()[0].field, "/to");
        let far = changed(clock, ClockIn::Advance { seconds: u64::MAX }, real).unwrap_err();
        assert_eq!(far.field_errors()[0].field, "/seconds");
        let day = changed(clock, ClockIn::Advance { seconds: 86_400 }, real).unwrap();
        assert_eq!(day.offset_micros, 3_600_000_000 + 86_400_000_000);
    }

    #[test]
    fn every_mode_is_read_and_nothing_beside_it() {
        let read = |text: &str| serde_json::from_str::<ClockIn>(text);
        assert_eq!(read(r#"{"mode":"advance","seconds":5}"#).unwrap(), ClockIn::Advance { seconds: 5 });
        assert_eq!(read(r#"{"mode":"freeze"}"#).unwrap(), ClockIn::Freeze {});
        assert!(read(r#"{"mode":"back"}"#).is_err());
        assert!(read(r#"{"mode":"follow","seconds":5}"#).is_err());
    }
}
