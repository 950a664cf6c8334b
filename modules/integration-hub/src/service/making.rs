//! What calls, tests and retries have in common: from a provider's row to a request that was answered and noted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fabric::{breaker::Change, postgres::Tx};
use kernel::{Ctx, Error, Result, Slug};
use uuid::Uuid;

use crate::{
    IntegrationHub,
    admission::{Admitted, Door},
    answer::Answer,
    credentials::Credentials,
    echo::ECHO,
    events, mask,
    model::{AuthType, CallId, CallState, Origin, ProviderId, Status},
    outward::Outward,
    sending::{End, Marks, Patience, Sent, Target, keep_pace, send},
    store::{
        calls::{self, Begun, Ended},
        providers::{self, CallableRow, ProviderRow},
    },
    vault::{Sealed, Vault},
};

/// A provider that may be called now.
pub(super) struct Callable {
    pub id: ProviderId,
    pub name: String,
    pub target: Target,
}

/// A call that is noted and may go out.
pub(super) struct Call {
    pub id: CallId,
    pub provider: Callable,
    pub request: Outward,
    pub marks: Marks,
    pub patience: Patience,
    /// Held until it is done.
    pub _place: Admitted,
}

/// What became of it.
pub(super) struct Made {
    pub sent: Sent,
    pub took: Duration,
}

impl IntegrationHub {
    /// A provider that may be called.
    ///
    /// Errors: not-found, invalid-state (with the remedy), dependency-unavailable for the echo.
    pub(super) async fn callable(&self, tx: &mut Tx, id: ProviderId) -> Result<Callable> {
        let CallableRow { provider, wrapped, may_speak } = providers::callable(tx, id).await?;
        let refused = |text: &str| Err(Error::new(Slug::InvalidState, text.to_owned()));
        if provider.status == Status::Disabled {
            return refused("The provider is disabled; set its status to active.");
        }
        if !may_speak {
            return refused(
                "This sandbox is a copy and does not speak outward until its operator allows it (allow-outbound).",
            );
        }
        let credentials = match (provider.auth_type, &provider.credentials, wrapped) {
            (AuthType::None, _, _) => None,
            (_, Some(sealed), Some(wrapped)) => {
                let vault = Vault::open(self.db.key(), tx.cx().tenant()?, &wrapped)?;
                let plain = vault.unseal(Sealed::Credentials(id.uuid()), sealed)?;
                Some(serde_json::from_slice::<Credentials>(&plain).map_err(Error::internal)?)
            }
            _ => return refused("The provider has no credentials (a copied sandbox gets none); set them."),
        };
        self.aim(provider, credentials)
    }

    fn aim(&self, provider: ProviderRow, credentials: Option<Credentials>) -> Result<Callable> {
        let base = match (provider.base_url.as_str(), &self.echo) {
            (ECHO, Some(url)) => url.clone(),
            (ECHO, None) => {
                return Err(Error::new(Slug::DependencyUnavailable, "The echo could not be started here."));
            }
            _ => provider.base_url,
        };
        let config = provider.config.0;
        let door = self.doors.of(provider.id, provider.version, config.rps);
        let target = Target { base, config, credentials, door };
        Ok(Callable { id: provider.id, name: provider.name, target })
    }

    /// Notes a call that begins. What the log keeps of it is masked.
    ///
    /// Errors: idempotency-in-progress.
    pub(super) async fn note(&self, tx: &mut Tx, call: &Call, origin: Origin) -> Result<()> {
        let Call { request, provider, .. } = call;
        let secrets = provider.target.credentials.as_ref().map(Credentials::secrets).unwrap_or_default();
        let (body, _) = request.payload();
        let begun = Begun {
            id: call.id,
            provider: (provider.id, &provider.name),
            origin,
            idempotency_key: call.marks.key,
            method: request.method,
            path: mask::path(&request.path, &secrets),
            headers: mask::headers(&request.headers, &secrets),
            body: mask::body(&body, request.content_type().unwrap_or_default(), &secrets),
        };
        calls::begin(tx, begun).await
    }

    /// Sends it until it is answered or given up.
    pub(super) async fn make(&self, call: &Call) -> Made {
        let begun = Instant::now();
        let sent =
            send(&self.dialler, &call.provider.target, &call.request, &call.marks, call.patience).await;
        Made { sent, took: begun.elapsed() }
    }

    /// The same once the provider's pace has a place for it; what finds none in time is not sent.
    pub(super) async fn make_in_pace(&self, call: &Call, door: &Door) -> Made {
        let begun = Instant::now();
        if keep_pace(door, call.patience.until).await {
            return self.make(call).await;
        }
        let end = End::Failed("the provider's pace left no place for it in time".to_owned(), None);
        Made {
            sent: Sent { end, attempts: 0, change: Change::None, secrets: Vec::new() },
            took: begun.elapsed(),
        }
    }

    /// Notes what became of a call, and tells what it did to the breaker.
    pub(super) async fn note_end(&self, tx: &mut Tx, call: &Call, made: &Made) -> Result<()> {
        let Made { sent, took } = made;
        let Outward { path, headers, body, .. } = &call.request;
        let mut secrets = mask::named(path, headers, body.as_ref());
        secrets.extend_from_slice(&sent.secrets);
        let answered = |answer: &Answer| Ended {
            status: i16::try_from(answer.status.as_u16()).ok(),
            answer_type: Some(mask::storable(answer.kind())),
            answer_body: mask::body(&answer.body, answer.kind(), &secrets),
            answer_bytes: i64::try_from(answer.body.len()).ok(),
            ..Ended::default()
        };
        let (state, ended) = match &sent.end {
            End::Answered(answer) => (CallState::Answered, answered(answer)),
            End::Rejected(answer) => {
                let error = Some(mask::storable(&answer.clause(&secrets)));
                (CallState::Rejected, Ended { error, ..answered(answer) })
            }
            End::Refused(told) => {
                (CallState::Failed, Ended { error: Some(told.clone()), ..Ended::default() })
            }
            End::Failed(told, status) => {
                let status = status.and_then(|status| i16::try_from(status.as_u16()).ok());
                (CallState::Failed, Ended { error: Some(told.clone()), status, ..Ended::default() })
            }
            End::Open(_) => {
                let error = Some("the provider gets a pause".to_owned());
                (CallState::Failed, Ended { error, ..Ended::default() })
            }
        };
        let ended = Ended { attempts: sent.attempts, duration_ms: took.as_millis(), ..ended };
        calls::end(tx, call.id, state, ended).await?;
        if let Some(event) = events::circuit(call.provider.id, sent.change)? {
            tx.event(event)?;
        }
        Ok(())
    }

    /// This very service, for work that outlives the request.
    pub(super) fn me(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or_else(|| Error::internal("the service is gone"))
    }
}

/// What all attempts of a call carry: the caller's own Idempotency-Key if there is one.
pub(super) fn marks(cx: &Ctx, key: Option<Uuid>) -> Marks {
    let given = key.or_else(|| cx.idempotency().map(|request| request.key));
    Marks { key: given.unwrap_or_else(Uuid::now_v7), traceparent: cx.trace().traceparent() }
}
