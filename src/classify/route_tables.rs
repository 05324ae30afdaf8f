//! The route table of each subnet.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::model::evidence::Evidence;
use crate::model::net::{RouteTable, RouteTarget};

/// The route tables, by subnet.
pub(super) struct RouteTables<'a> {
    by_subnet: HashMap<&'a str, &'a RouteTable>,
    main: Option<&'a RouteTable>,
}

impl<'a> RouteTables<'a> {
    /// The route tables of the evidence; none if they were not obtained.
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let tables = || evidence.network.route_tables.seen().into_iter().flatten();
        let mut by_subnet = HashMap::new();
        for table in tables() {
            for subnet in &table.subnets {
                by_subnet.entry(subnet.as_str()).or_insert(table);
            }
        }
        let is_of_vpc = |table: &&RouteTable| table.vpc.is_none() || table.vpc == evidence.cluster.vpc;
        Self { by_subnet, main: tables().filter(|table| table.main).find(is_of_vpc) }
    }

    /// The table of a subnet: its own, or the main one.
    pub(super) fn of(&self, subnet: &str) -> Option<&'a RouteTable> {
        self.by_subnet.get(subnet).copied().or(self.main)
    }
}

/// Where the routes of a table lead to a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToBlock<'a> {
    /// The most specific route that contains the whole block, if no more specific one is for a
    /// part of it.
    Whole(&'a RouteTarget),
    /// A route for this part of the block only leads elsewhere than the one for the rest.
    Part(IpNet),
    /// No route contains the block or a part of it.
    None,
}

/// Where the routes of a table by a CIDR block lead to a block.
pub(super) fn to_block<'a>(table: &'a RouteTable, block: &IpNet) -> ToBlock<'a> {
    let routes = || table.routes.iter().filter_map(|route| Some((route.destination?, &route.target)));
    let whole = routes().filter(|(destination, _)| destination.contains(block));
    let whole = whole.max_by_key(|(destination, _)| destination.prefix_len()).map(|(_, target)| target);
    let is_part = |destination: &IpNet| block.contains(destination) && destination != block;
    match routes().find(|(destination, target)| is_part(destination) && Some(*target) != whole) {
        Some((part, _)) => ToBlock::Part(part),
        None => whole.map_or(ToBlock::None, ToBlock::Whole),
    }
}
