//! "Seen from", as rows of text: the places that see the same in one row.

use super::style::count;
use crate::model::facts::Facts;
use crate::model::reaches::Reaches;
use crate::model::seen_from::HERE;
use crate::model::seen_from::{PlaceKind, SeenBy, SightGroup};
use crate::model::text::list;

/// The heads of the columns.
pub(super) const HEADS: [&str; 5] = ["Place", "Address", "Resolves", "Reaches", "Path"];
/// How many rows are shown.
const ROWS_MAX: usize = 12;
/// How many names of places, and addresses, a row has.
const PLACES_SHOWN: usize = 3;
const ADDRESSES_SHOWN: usize = 4;

/// What an answer to TCP alone shows.
pub(super) const TCP_ANSWERED: &str = "TCP answered";

/// The rows, and the number of those that are not shown. `name` shortens the name of a node.
pub(super) fn rows<'a>(facts: &'a Facts, name: impl Fn(&'a str) -> &'a str) -> (Vec<[String; 5]>, usize) {
    let groups = facts.seen_from.groups();
    let more = groups.len().saturating_sub(ROWS_MAX);
    (groups.iter().take(ROWS_MAX).map(|group| row(group, &name)).collect(), more)
}

fn row<'a>(group: &SightGroup<'a>, name: &impl Fn(&'a str) -> &'a str) -> [String; 5] {
    let SightGroup { kind, places, addresses, view } = group;
    let places = match kind {
        PlaceKind::Operator => HERE.to_owned(),
        PlaceKind::Node if places.len() > PLACES_SHOWN => count(places.len(), "node"),
        _ => {
            let names: Vec<_> = places.iter().map(|place| name(place)).collect();
            list(&names, PLACES_SHOWN)
        }
    };
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let by: Vec<_> = view.by.iter().filter(|by| **by != SeenBy::Dns).map(|by| by.as_str()).collect();
    let reaches = match view.reaches {
        Reaches::Unknown if view.tcp_answered => format!("unknown: {TCP_ANSWERED}"),
        Reaches::Unknown => view.reaches.as_str().to_owned(),
        known => format!("{} ({})", known.as_str(), by.join(", ")),
    };
    let path = view.path.as_str().to_owned();
    [places, list(&addresses, ADDRESSES_SHOWN), view.resolves.as_str().to_owned(), reaches, path]
}
