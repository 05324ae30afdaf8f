//! Which clusters there are to be asked about, over accounts and regions.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use futures_util::StreamExt;
use futures_util::stream;

pub use super::aws::batch::MAX as TOGETHER_MAX;
use super::aws::failure::Failure;
pub use super::aws::session::{AwsRequest, Session};
use super::aws::session::{Base, NO_REGION};
use crate::evidence::aws::{DESCRIBE_REGIONS, LIST_CLUSTERS};
use crate::model::audit::Unjudged;
use crate::model::gap::{Gap, Subject};

/// Where regions are asked for, if no other is known.
const REGION_OF_REGIONS: &str = "us-east-1";

/// What there is to be found.
#[derive(Debug)]
pub struct FleetRequest {
    /// Who asks.
    pub aws: AwsRequest,
    /// The regions; none: the configuration's own.
    pub regions: Regions,
    /// Roles to assume, one for each account; none: whoever asks.
    pub roles: Vec<String>,
    /// The clusters' names; `None`: all that there are.
    pub clusters: Option<Vec<String>>,
    /// How many accounts and regions are asked at a time.
    pub concurrency: usize,
}

/// Which regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// The configuration's own.
    Usual,
    /// These.
    Named(BTreeSet<String>),
    /// All that an account has switched on.
    All,
}

/// An account and region, and the clusters that may be there.
#[derive(Debug)]
pub struct Place {
    /// What it is called.
    pub name: String,
    /// Who asks there.
    pub session: Session,
    /// The clusters' names.
    pub clusters: Vec<String>,
}

/// The clusters, in the order of accounts, regions and names; and the accounts
/// and regions that do not say which they have.
///
/// # Errors
/// If the configuration is wrong.
pub async fn find(request: &FleetRequest) -> Result<(Vec<Place>, Vec<Unjudged>)> {
    // Roles are assumed in a region too.
    let mut aws = request.aws.clone();
    if let Regions::Named(names) = &request.regions {
        aws.region = names.first().cloned();
    }
    let mut base = Base::load(&aws).await?;
    if base.region().is_none() {
        if request.regions != Regions::All {
            bail!(NO_REGION);
        }
        aws.region = Some(REGION_OF_REGIONS.to_owned());
        base = Base::load(&aws).await?;
    }
    let mut accounts = Vec::new();
    if request.roles.is_empty() {
        accounts.push((String::new(), base));
    } else {
        for role in &request.roles {
            let account = role.split(':').nth(4).unwrap_or(role);
            accounts.push((format!("account {account}, "), base.assume(role).await?));
        }
    }
    let mut unjudged = Vec::new();
    let mut places = Vec::new();
    let regions = stream::iter(accounts.iter().map(async |(_, base)| regions(base, request).await));
    let regions: Vec<_> = regions.buffered(request.concurrency).collect().await;
    for ((account, base), regions) in accounts.iter().zip(regions) {
        match regions? {
            Ok(regions) => {
                for region in regions {
                    places.push((format!("{account}{region}"), base.session(region)?));
                }
            }
            Err(failure) => unjudged.push(Unjudged {
                subject: format!("{account}all regions"),
                gap: gap(DESCRIBE_REGIONS, &failure),
            }),
        }
    }
    let names = stream::iter(places.iter().map(async |(_, session)| match &request.clusters {
        Some(names) => Ok(names.clone()),
        None => session.list_clusters().await,
    }));
    let names: Vec<_> = names.buffered(request.concurrency).collect().await;
    let mut found = Vec::new();
    for ((name, session), clusters) in places.into_iter().zip(names) {
        match clusters {
            Ok(clusters) => found.push(Place { name, session, clusters }),
            Err(failure) => unjudged.push(Unjudged {
                subject: format!("all clusters ({name})"),
                gap: gap(LIST_CLUSTERS, &failure),
            }),
        }
    }
    Ok((found, unjudged))
}

async fn regions(base: &Base, request: &FleetRequest) -> Result<Result<Vec<String>, Failure>> {
    let Some(own) = base.region() else { bail!(NO_REGION) };
    Ok(match &request.regions {
        Regions::Named(names) => Ok(names.iter().cloned().collect()),
        Regions::All => base.session(own)?.regions().await,
        Regions::Usual => Ok(vec![own]),
    })
}

fn gap(action: &'static str, failure: &Failure) -> Gap {
    Gap {
        subject: Subject::Action(action),
        why: failure.why,
        detail: format!("{action}: {}", failure.detail),
        hint: failure.hint(action),
    }
}
