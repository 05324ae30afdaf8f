//! The clusters in accounts and regions.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use super::aws::cause::Cause;
use super::aws::client::{AwsRequest, Client, Config, no_region};
use super::aws::failure::Failure;
use super::error::{CollectError, Result};
use crate::evidence::aws::{DESCRIBE_REGIONS, LIST_CLUSTERS};
use crate::model::audit::Unjudged;
use crate::model::gap::{Gap, Subject};

/// The region that lists the regions, if no other is configured.
const REGION_OF_REGIONS: &str = "us-east-1";

/// The accounts, regions and clusters to find.
#[derive(Debug)]
pub struct FleetRequest {
    /// The configuration of AWS.
    pub aws: AwsRequest,
    /// The regions.
    pub regions: Regions,
    /// Roles to assume, one for each account; if there are none, the configured credentials are used.
    pub roles: Vec<String>,
    /// The clusters' names; `None` for all clusters.
    pub clusters: Option<Vec<String>>,
    /// The most accounts and regions that requests are sent to at a time.
    pub concurrency: usize,
}

/// Which regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// The configured region.
    Configured,
    /// These.
    Named(BTreeSet<String>),
    /// All that are enabled for an account.
    All,
}

/// An account and region, and the clusters that may be there.
#[derive(Debug)]
pub(super) struct Place {
    /// Its name in reports.
    pub(super) name: String,
    /// Its client.
    pub(super) client: Client,
    /// The clusters' names.
    pub(super) clusters: Vec<String>,
}

/// Finds the clusters, in the order of accounts, regions and names; and the accounts and
/// regions whose clusters cannot be listed.
///
/// # Errors
/// If the configuration cannot be used.
pub(super) async fn find(request: &FleetRequest) -> Result<(Vec<Place>, Vec<Unjudged>)> {
    // Assuming a role requires a region too.
    let mut aws = request.aws.clone();
    if let Regions::Named(names) = &request.regions {
        aws.region = names.first().cloned();
    }
    let mut config = Config::load(&aws).await?;
    if config.region().is_none() {
        if request.regions != Regions::All {
            return Err(no_region());
        }
        aws.region = Some(REGION_OF_REGIONS.to_owned());
        config = Config::load(&aws).await?;
    }
    let mut accounts = Vec::new();
    if request.roles.is_empty() {
        accounts.push((String::new(), config));
    } else {
        for role in &request.roles {
            let account = role.split(':').nth(4).unwrap_or(role);
            accounts.push((format!("account {account}, "), config.assume(role).await?));
        }
    }
    let mut unjudged = Vec::new();
    let mut places = Vec::new();
    let regions = stream::iter(accounts.iter().map(async |(_, config)| regions(config, request).await));
    let regions: Vec<_> = regions.buffered(request.concurrency).collect().await;
    for ((account, config), regions) in accounts.iter().zip(regions) {
        match regions? {
            Ok(regions) => {
                for region in regions {
                    places.push((format!("{account}{region}"), config.client(region)?));
                }
            }
            Err(failure) => unjudged.push(Unjudged {
                subject: format!("{account}all regions"),
                gap: gap(DESCRIBE_REGIONS, &failure),
            }),
        }
    }
    let names = stream::iter(places.iter().map(async |(_, client)| match &request.clusters {
        Some(names) => Ok(names.clone()),
        None => client.list_clusters().await,
    }));
    let names: Vec<_> = names.buffered(request.concurrency).collect().await;
    let mut found = Vec::new();
    // The message, if the configuration is why no region's clusters can be listed.
    let mut configuration = unjudged.is_empty().then(String::new);
    for ((name, client), clusters) in places.into_iter().zip(names) {
        configuration = match (configuration, &clusters) {
            (Some(first), Err(failure)) if failure.cause == Cause::Configuration => {
                let gap = gap(LIST_CLUSTERS, failure);
                let message = format!("cannot list the clusters in {name}: {}; {}", failure.detail, gap.hint);
                Some(if first.is_empty() { message } else { first })
            }
            _ => None,
        };
        match clusters {
            Ok(clusters) => found.push(Place { name, client, clusters }),
            Err(failure) => unjudged.push(Unjudged {
                subject: format!("all clusters ({name})"),
                gap: gap(LIST_CLUSTERS, &failure),
            }),
        }
    }
    if let Some(message) = configuration.filter(|message| !message.is_empty()) {
        return Err(CollectError::Configuration(message));
    }
    Ok((found, unjudged))
}

async fn regions(config: &Config, request: &FleetRequest) -> Result<Result<Vec<String>, Failure>> {
    let own = config.region().ok_or_else(no_region)?;
    Ok(match &request.regions {
        Regions::Named(names) => Ok(names.iter().cloned().collect()),
        Regions::All => config.client(own)?.regions().await,
        Regions::Configured => Ok(vec![own]),
    })
}

fn gap(action: &'static str, failure: &Failure) -> Gap {
    failure.gap(Subject::Action(action), &[action])
}
