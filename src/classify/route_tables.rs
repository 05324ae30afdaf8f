//! The route table of each subnet.

use std::collections::HashMap;

use crate::model::evidence::Evidence;
use crate::model::net::RouteTable;

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
