//! What the tests across crates share. The tests themselves stand in `tests/tests`, those against real servers and
//! clients in `tests/interop`.

pub mod fuzz;
