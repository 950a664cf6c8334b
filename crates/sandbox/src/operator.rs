//! Who runs the process: a key in the data folder for the CLI, sessions from single-use links for browsers.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::crypto::sha256;
use gateway::OperatorGate;
use kernel::{Ctx, Result, Timestamp};

use crate::{control::Control, error::OpenError, installation::Installation};

/// How long a link may lie around.
const LINK_TTL: Duration = Duration::from_secs(600);
/// How long a browser stays signed in.
const SESSION_TTL: Duration = Duration::from_secs(12 * 3600);

/// The operator's credentials.
pub struct Operator {
    key_hash: [u8; 32],
    key_path: PathBuf,
    cookie: String,
    installation: String,
    control: Control,
    sessions: RwLock<HashMap<[u8; 32], Timestamp>>,
    /// Held while the database and what is remembered of it change together.
    changing: tokio::sync::Mutex<()>,
}

impl Operator {
    /// Reads the operator key, making it when it is not there.
    pub(crate) async fn open(installation: &Installation, control: Control) -> Result<Self, OpenError> {
        let key_path = installation.path("operator.key");
        let key = installation.operator_key(&key_path)?;
        let name = installation.key().derive(&["cookie"]);
        let installation = format!("{:02x}{:02x}{:02x}{:02x}", name[0], name[1], name[2], name[3]);
        let operator = Self {
            key_hash: sha256(&[key.as_bytes()]),
            key_path,
            cookie: format!("pk_operator_{installation}"),
            installation,
            control,
            sessions: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        };
        operator.learn_sessions().await?;
        Ok(operator)
    }

    /// Takes over which sessions there are.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn learn_sessions(&self) -> Result<()> {
        let _changing = self.changing.lock().await;
        let open = self.control.sessions().await?.into_iter();
        let open = open.filter_map(|(hash, until)| Some((<[u8; 32]>::try_from(hash).ok()?, until))).collect();
        *self.sessions.write().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(())
    }

    /// Where the key lies.
    pub fn key_path(&self) -> &PathBuf {
        &self.key_path
    }

    /// A single-use token for `/open?token=…`, good for 10 minutes.
    ///
    /// # Errors
    /// What the database says.
    pub async fn link(&self, cx: &Ctx) -> Result<String> {
        let token = URL_SAFE_NO_PAD.encode(cx.random::<32>());
        let mut tx = self.control.begin(cx).await?;
        self.control
            .put_link(&mut tx, &sha256(&[token.as_bytes()]), Timestamp::real().plus(LINK_TTL))
            .await?;
        tx.commit(token).await
    }

    /// Exchanges a link's token for a session's cookie value; none if the link is not good (any more).
    ///
    /// # Errors
    /// What the database says.
    pub async fn sign_in(&self, cx: &Ctx, token: &str) -> Result<Option<String>> {
        let session = URL_SAFE_NO_PAD.encode(cx.random::<32>());
        let hash = sha256(&[session.as_bytes()]);
        let until = Timestamp::real().plus(SESSION_TTL);
        let _changing = self.changing.lock().await;
        if !self.control.use_link(&sha256(&[token.as_bytes()]), &hash, until).await? {
            return Ok(None);
        }
        self.sessions.write().unwrap_or_else(PoisonError::into_inner).insert(hash, until);
        Ok(Some(session))
    }

    /// Ends a browser's session. Ending one that is over is no failure.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sign_out(&self, cookie: &str) -> Result<()> {
        let hash = sha256(&[cookie.as_bytes()]);
        let _changing = self.changing.lock().await;
        self.control.end_session(&hash).await?;
        self.sessions.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        Ok(())
    }
}

impl OperatorGate for Operator {
    fn verify_key(&self, key: &str) -> bool {
        // Hashes are compared, so the time it takes tells nothing of the key.
        sha256(&[key.as_bytes()]) == self.key_hash
    }

    fn verify_session(&self, cookie: &str) -> bool {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&sha256(&[cookie.as_bytes()])).is_some_and(|until| *until > Timestamp::real())
    }

    fn cookie_name(&self) -> &str {
        &self.cookie
    }

    fn installation(&self) -> &str {
        &self.installation
    }
}
