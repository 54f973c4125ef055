//! Keys, pictures, text and sound that never end or make no sense.

use z5_media::codec::telephone_event::{Payload, Presses};
use z5_media::playout::AudioPlayout;
use z5_media::text::TextReceiver;
use z5_media::video::VideoReceiver;

use super::*;

#[test]
fn a_flood_of_keys_is_bounded_and_each_press_is_told_once() {
    let mut presses = Presses::default();
    let mut told = 0;
    let grown = grown(|| {
        for n in 0..100_000_u32 {
            let payload = Payload {
                event: (n % 256) as u8,
                end: n % 5 == 4,
                volume: 10,
                duration: (n % 5 * 160) as u16,
            };
            told += presses.take(n / 5 * 800, payload).into_iter().flatten().count();
        }
    });
    // Of the codes only 0 to 16 are keys, and five packets make one press.
    assert!(told <= 20_000, "{told}");
    assert_eq!(grown, 0);
}

#[test]
fn fragments_that_never_end_are_given_up() {
    let start = clock::now();
    let mut receiver = VideoReceiver::new(Duration::from_millis(200), start);
    let mut shown = 0;
    let grown = grown(|| {
        // FU-A of a key frame: a start, then middles for ever (30 MB), in order, in one picture.
        for n in 0..25_000_u64 {
            let mut fragment = vec![0x3c; 1200];
            fragment[..2].copy_from_slice(&[0x7c, if n == 0 { 0x85 } else { 0x05 }]);
            let now = start + Duration::from_millis(n);
            let _ = receiver.take(1000 + n, 90, false, &fragment, now, &mut |_| shown += 1);
        }
    });
    assert_eq!(shown, 0);
    assert!(
        grown < 9 << 20,
        "{grown} bytes: an access unit has at most 4 MB, and its buffer at most twice that"
    );
    // Starts without ends, each of another picture; and holes, so that nothing can be put together.
    let grown = self::grown(|| {
        for n in 0..25_000_u64 {
            let mut fragment = vec![0x3c; 1200];
            fragment[..2].copy_from_slice(&[0x7c, 0x85]);
            let now = start + Duration::from_secs(60) + Duration::from_millis(n);
            let _ =
                receiver.take(100_000 + 2 * n, n as u32 * 3000, false, &fragment, now, &mut |_| shown += 1);
        }
    });
    assert_eq!(shown, 0);
    assert!(grown < 2 << 20, "{grown} bytes");
}

#[test]
fn text_that_never_follows_on_is_bounded() {
    let start = clock::now();
    let mut receiver = TextReceiver::new(98, Some(99));
    let mut shown = String::with_capacity(1 << 20);
    let grown = grown(|| {
        for n in 0..50_000_u64 {
            // Every second packet is missing, and what comes claims to be large.
            let _ = receiver.take(1000 + 2 * n, 98, &[b'a'; 1000], start, &mut shown);
            shown.clear();
        }
    });
    assert!(grown < 256 << 10, "{grown} bytes");
}

#[test]
fn sound_with_absurd_times_is_bounded_and_playing_goes_on() {
    let start = clock::now();
    let mut playout = AudioPlayout::new(AudioCodec::Pcmu, &[]);
    let mut frame = [0_i16; 160];
    let mut random = 1_u32;
    let grown = grown(|| {
        for n in 0..50_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let now = start + Duration::from_millis(u64::from(n) / 10);
            let _ = playout.insert(u64::from(random >> 8), random, &[0x55; 160], now);
            if n % 200 == 0 {
                playout.pull(&mut frame, now);
            }
        }
    });
    assert!(grown < 1 << 20, "{grown} bytes");
    // A far end that makes sense again is heard.
    playout.restart();
    let then = start + Duration::from_secs(100);
    for n in 0..50_u32 {
        let now = then + Duration::from_millis(20) * n;
        playout.insert(u64::from(n) + (1 << 40), n * 160, &[0x10; 160], now).unwrap();
        playout.pull(&mut frame, now);
    }
    assert!(frame.iter().all(|sample| *sample != 0));
}
