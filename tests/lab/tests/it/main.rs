//! Tests of the lab through its public API. Where the lab is not supported,
//! tests/run skips them by the module's name.

mod lab;
