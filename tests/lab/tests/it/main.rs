//! The lab, tried as its users do: their tests are skipped by the name of the
//! module where none can be had.

mod lab;
