//! `pe admin`: one question to a load balancer, or one change of it.

use std::path::Path;

use pe_proto::admin::{self, BanRequest, DrainWorker, Purge, QuarantineWorker, Unban};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::operator::{AdminError, Operator};
use crate::admin::tables;
use crate::arguments::admin::{
    AdminArgs, AdminCommand, BanArgs, DrainArgs, PurgeArgs, QuarantineArgs, UnbanArgs,
};

use super::{Failure, print};

pub(super) async fn admin(args: AdminArgs) -> Result<u8, Failure> {
    let AdminArgs { admin: target, token_file, json, what } = args;
    let token = token_file.as_deref().map(read_token).transpose()?;
    let bad_token = || Failure::Token { path: String::new(), problem: "it cannot be sent".into() };
    let operator = Operator::new(target, token.as_deref()).ok_or_else(bad_token)?;
    let ask = Ask { operator, json };
    match what {
        AdminCommand::Status => ask.look(admin::STATUS, tables::status).await,
        AdminCommand::Workers => ask.look(admin::WORKERS, tables::workers).await,
        AdminCommand::Queue => ask.look(admin::QUEUE, tables::queue).await,
        AdminCommand::Leases => ask.look(admin::LEASES, tables::leases).await,
        AdminCommand::Flights => ask.look(admin::FLIGHTS, tables::flights).await,
        AdminCommand::Bans => ask.look(admin::BANS, tables::bans).await,
        AdminCommand::Drain(DrainArgs { worker: Some(worker), undo, .. }) => {
            let change = DrainWorker { worker, draining: !undo };
            ask.change(admin::DRAIN_WORKER, &change, tables::done).await
        }
        AdminCommand::Drain(DrainArgs { worker: None, .. }) => {
            ask.change(admin::DRAIN, &serde_json::json!({}), tables::done).await
        }
        AdminCommand::Quarantine(QuarantineArgs { worker, undo }) => {
            let change = QuarantineWorker { worker, quarantined: !undo };
            ask.change(admin::QUARANTINE_WORKER, &change, tables::done).await
        }
        AdminCommand::Purge(PurgeArgs { job }) => {
            ask.change(admin::PURGE, &Purge { job }, tables::done).await
        }
        AdminCommand::Ban(BanArgs { client, time, reason }) => {
            let change = BanRequest { client, seconds: time.as_secs(), reason };
            ask.change(admin::BAN, &change, tables::done).await
        }
        AdminCommand::Unban(UnbanArgs { client }) => {
            ask.change(admin::UNBAN, &Unban { client }, tables::done).await
        }
        AdminCommand::Reload => {
            ask.change(admin::RELOAD, &serde_json::json!({}), tables::reloaded).await
        }
    }
}

struct Ask {
    operator: Operator,
    json: bool,
}

impl Ask {
    async fn look<T: DeserializeOwned>(
        &self,
        path: &str,
        show: impl Fn(&T) -> String,
    ) -> Result<u8, Failure> {
        let answer = self.operator.ask(path, None).await?;
        self.show(answer, show).await
    }

    async fn change<T: DeserializeOwned>(
        &self,
        path: &str,
        change: &impl Serialize,
        show: impl Fn(&T) -> String,
    ) -> Result<u8, Failure> {
        let change =
            serde_json::to_vec(change).map_err(|error| Failure::Internal(error.to_string()))?;
        let answer = self.operator.ask(path, Some(change)).await?;
        self.show(answer, show).await
    }

    /// As a table, or as it came: fields that pe does not know are there, too.
    async fn show<T: DeserializeOwned>(
        &self,
        mut answer: Vec<u8>,
        show: impl Fn(&T) -> String,
    ) -> Result<u8, Failure> {
        let unread = |error| AdminError::Answer(self.operator.target().clone(), error);
        let parsed: T = serde_json::from_slice(&answer).map_err(unread)?;
        if self.json {
            answer.push(b'\n');
            print(answer).await?;
        } else {
            print(show(&parsed).into_bytes()).await?;
        }
        Ok(0)
    }
}

/// The first line of a file.
fn read_token(path: &Path) -> Result<String, Failure> {
    let failure = |problem: String| Failure::Token { path: path.display().to_string(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| failure(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failure("expected one line of printable characters".to_owned()));
    }
    Ok(token.to_owned())
}
