//! What the sockets of a client show of its connections with the API server.

/// What the sockets of a client show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketEvidence {
    /// Its established connections end on these sides.
    Sides(Sides),
    /// It has no established connection, and attempts hang.
    Hanging,
    /// It has connections whose peers nothing explains.
    Unexplained,
    /// Its sockets should have been read, and were not seen.
    Unseen,
    /// It has connections to public addresses that nothing explains, and those of the endpoint
    /// are not known.
    Unplaced,
    /// It keeps connections, as a kubelet does, and its sockets cannot be read.
    Unreadable,
    /// It is named by an IPv6 block, and the endpoint has IPv4 addresses only; whether it is
    /// named by an IPv4 block as well.
    OtherFamily { has_ipv4: bool },
    /// It is judged by configuration alone: it connects anew each time, as kubectl does.
    Configured,
}

/// The sides on which established connections end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) public: bool,
    pub(super) private: bool,
    pub(super) cluster_ip: bool,
}
