//! `check`: whether the server can be used, and what to do if not (docs/velociraptor-api.md §1.5 to §1.8).

use std::fmt;

use vfs::{Clock, Timestamp};

use crate::artifacts;
use crate::server::{CallError, CallResult, Server};

/// What was found out about the server and about us on it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CheckReport {
    /// Where the server listens, as the file says.
    pub address: String,
    /// The connection works, TLS included.
    pub reachable: bool,
    /// Our name on the server; `None` if it does not know us.
    pub user: Option<String>,
    /// What we may do.
    pub rights: Rights,
    /// The server's version, if we may ask.
    pub server_version: Option<String>,
    /// The server's clock minus ours in seconds, if we may ask.
    pub clock_difference: Option<f64>,
    /// Which of our artifacts are installed.
    pub artifacts: Installed,
    /// Organisations that we belong to.
    pub orgs: Vec<Org>,
    /// What is wrong and what to do about it, one sentence each.
    pub problems: Vec<String>,
    /// What could be better, one sentence each.
    pub hints: Vec<String>,
}

/// Rights of our user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Rights {
    /// READ_RESULTS: see clients, listings and collected files. Needed.
    pub read_results: bool,
    /// COLLECT_CLIENT: start flows. Without it only what the server already has is served.
    pub collect_client: bool,
    /// ANY_QUERY: be told of ended flows at once, ask for version and clock.
    pub any_query: bool,
}

/// Which of our artifacts the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Installed {
    /// Many directories in one flow.
    pub list_many: bool,
    /// Many files in one flow.
    pub fetch_many: bool,
    /// Ranges of a file.
    pub read_ranges: bool,
}

/// An organisation on the server.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Org {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl CheckReport {
    /// Whether the gateway can work at all.
    pub fn is_usable(&self) -> bool {
        self.problems.is_empty()
    }
}

pub(crate) async fn check(server: &dyn Server, address: &str, clock: &dyn Clock) -> CheckReport {
    let mut report = CheckReport {
        address: address.to_owned(),
        reachable: false,
        user: None,
        rights: Rights::default(),
        server_version: None,
        clock_difference: None,
        artifacts: Installed::default(),
        orgs: Vec::new(),
        problems: Vec::new(),
        hints: Vec::new(),
    };
    if let Err(error) = server.health().await {
        report.problems.push(server.advice(&error));
        return report;
    }
    report.reachable = true;
    match server.user("root").await {
        Ok(user) => {
            report.user = Some(user.username);
            report.orgs = user.orgs.into_iter().map(|org| Org { id: org.id, name: org.name }).collect();
            let granted = user.interface_traits.and_then(|traits| traits.permissions).unwrap_or_default();
            report.rights = Rights {
                read_results: granted.read_results,
                collect_client: granted.collect_client,
                any_query: granted.any_query,
            };
        }
        Err(error) => {
            report.problems.push(match error {
                CallError::NotFound | CallError::Misconfigured(_) => server.advice(&error),
                error => format!("the server does not say who we are: {error}"),
            });
            return report;
        }
    }
    judge_rights(&mut report, server.tells_ends());
    if report.rights.read_results {
        ask_artifacts(server, &mut report).await;
    }
    if report.rights.read_results
        && (report.rights.any_query || !server.tells_ends())
        && let Err(error) = ask_facts(server, clock, &mut report).await
    {
        report.hints.push(format!("the server's version could not be asked: {error}"));
    }
    if let Some(difference) = report.clock_difference
        && difference.abs() > 60.0
    {
        report.hints.push(format!(
            "the server's clock differs from ours by {difference:.0} s: ages of listings are wrong by as much"
        ));
    }
    report
}

fn judge_rights(report: &mut CheckReport, tells_ends: bool) {
    let Some(user) = &report.user else { return };
    let grant = |role: &str| format!("velociraptor --config server.config.yaml acl grant {user} --role {role}");
    if !report.rights.read_results {
        report.problems.push(format!(
            "the user {user} may not read results: run `{}` on the server (a running server needs up to 5 minutes to notice)",
            grant("investigator,api")
        ));
        return;
    }
    if !report.rights.collect_client {
        report.hints.push(format!(
            "the user {user} may not start collections (COLLECT_CLIENT): only what the server already has is served; \
             `{}` on the server allows it",
            grant("investigator,api")
        ));
    }
    if !tells_ends {
        report.hints.push(
            "through the GUI nobody tells of ended flows: they are polled, which is slower and costs the server more than the API \
             port (--api-config) does"
                .into(),
        );
    } else if !report.rights.any_query {
        report.hints.push(format!(
            "the user {user} may not query (ANY_QUERY): flows are polled, which is slower and costs the server more; \
             `{}` on the server allows it",
            grant("investigator,api")
        ));
    }
}

async fn ask_artifacts(server: &dyn Server, report: &mut CheckReport) {
    let names = artifacts::ALL.map(|artifact| artifact.name);
    match server.artifacts("root", &names).await {
        Ok(found) => {
            let has = |artifact: artifacts::Artifact| found.iter().any(|name| name == artifact.name);
            report.artifacts = Installed {
                list_many: has(artifacts::LIST_MANY),
                fetch_many: has(artifacts::FETCH_MANY),
                read_ranges: has(artifacts::READ_RANGES),
            };
            if !artifacts::ALL.into_iter().all(has) {
                report.hints.push(
                    "our artifacts are not (all) installed: many directories or files take one flow each, and large files are \
                     collected whole; an administrator can install them once with `raptorgate install-artifacts`"
                        .into(),
                );
            }
        }
        Err(error) => report.hints.push(format!("the server's artifacts could not be asked: {error}")),
    }
}

async fn ask_facts(server: &dyn Server, clock: &dyn Clock, report: &mut CheckReport) -> CallResult<()> {
    let before = clock.now();
    let facts = server.facts().await?;
    report.clock_difference = facts.time.map(|time| difference(time, before));
    report.server_version = facts.version;
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // seconds of this century
fn difference(theirs: Timestamp, ours: Timestamp) -> f64 {
    (theirs.seconds - ours.seconds) as f64 + (f64::from(theirs.nanos) - f64::from(ours.nanos)) / 1e9
}

impl fmt::Display for CheckReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        writeln!(formatter, "server            {}", self.address)?;
        writeln!(formatter, "reachable         {}", yes(self.reachable))?;
        if self.reachable {
            writeln!(formatter, "version           {}", self.server_version.as_deref().unwrap_or("not known"))?;
            match self.clock_difference {
                Some(seconds) => writeln!(formatter, "clock             {seconds:+.1} s from ours")?,
                None => writeln!(formatter, "clock             not known")?,
            }
            writeln!(formatter, "our user          {}", self.user.as_deref().unwrap_or("not known to the server"))?;
        }
        if self.user.is_some() {
            writeln!(formatter, "READ_RESULTS      {}", yes(self.rights.read_results))?;
            writeln!(formatter, "COLLECT_CLIENT    {}", yes(self.rights.collect_client))?;
            writeln!(formatter, "ANY_QUERY         {}", yes(self.rights.any_query))?;
            let Installed { list_many, fetch_many, read_ranges } = self.artifacts;
            writeln!(
                formatter,
                "our artifacts     ListMany {}, FetchMany {}, ReadRanges {}",
                yes(list_many),
                yes(fetch_many),
                yes(read_ranges)
            )?;
            let orgs: Vec<_> = self.orgs.iter().map(|org| org.id.as_str()).collect();
            writeln!(
                formatter,
                "organisations     {}",
                if orgs.is_empty() { "none".to_owned() } else { orgs.join(", ") }
            )?;
        }
        for problem in &self.problems {
            writeln!(formatter, "PROBLEM: {problem}")?;
        }
        for hint in &self.hints {
            writeln!(formatter, "hint: {hint}")?;
        }
        Ok(())
    }
}
