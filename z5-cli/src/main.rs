//! z5
fn main(){}
