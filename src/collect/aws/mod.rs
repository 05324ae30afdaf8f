//! AWS: the session, its requests and their failures.

pub(super) mod ask;
pub(super) mod batch;
pub(super) mod failure;
pub(super) mod record;
pub(super) mod session;
