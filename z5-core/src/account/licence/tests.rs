//! Licences good and bad.
