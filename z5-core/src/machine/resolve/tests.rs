//! Step 1 with fake time.
