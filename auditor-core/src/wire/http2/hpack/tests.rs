use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<String, Malformed> {
    let mut fields = Vec::new();
    decoder.decode(block, 1 << 16, &mut |name, value| {
        fields.push(format!(
            "{}: {}",
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value)
        ));
    })?;
    Ok(fields.join("\n"))
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
];
const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\ncontent-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

#[test]
fn integers_are_read_as_in_appendix_c_1() {
    assert_eq!(integer(&mut &[0b1110_1010][..], 5), Ok(10));
    assert_eq!(
        integer(&mut &[0b0001_1111, 0b1001_1010, 0b0000_1010][..], 5),
        Ok(1337)
    );
    assert_eq!(integer(&mut &[42][..], 8), Ok(42));
    assert_eq!(
        integer(&mut &[0x1f, 0xff, 0xff, 0xff, 0xff, 1][..], 5),
        Err(Malformed)
    );
}

#[test]
fn single_fields_are_read_as_in_appendix_c_2() {
    for (block, field, size) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            55,
        ),
        (
            "040c 2f73 616d 706c 652f 7061 7468",
            ":path: /sample/path",
            0,
        ),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            "password: secret",
            0,
        ),
        ("82", ":method: GET", 0),
    ] {
        let mut decoder = Decoder::new();
        assert_eq!(decode(&mut decoder, &hex(block)).unwrap(), field);
        assert_eq!(decoder.buffered(), size);
    }
}

#[test]
fn requests_are_read_as_in_appendix_c_3_and_c_4() {
    for blocks in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        let mut decoder = Decoder::new();
        for ((block, fields), size) in blocks.iter().zip(REQUESTS).zip([57, 110, 164]) {
            assert_eq!(decode(&mut decoder, &hex(block)).unwrap(), fields);
            assert_eq!(decoder.buffered(), size);
        }
    }
}

#[test]
fn responses_with_eviction_are_read_as_in_appendix_c_5_and_c_6() {
    for blocks in [
        [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ],
        [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
    ] {
        let mut decoder = Decoder::new();
        decoder.table.resize(256);
        for ((block, fields), size) in blocks.iter().zip(RESPONSES).zip([222, 222, 215]) {
            assert_eq!(decode(&mut decoder, &hex(block)).unwrap(), fields);
            assert_eq!(decoder.buffered(), size);
        }
    }
}

#[test]
fn after_joining_only_fields_told_before_are_missing() {
    let mut decoder = Decoder::joined();
    let second = decode(&mut decoder, &hex("8286 84be 5808 6e6f 2d63 6163 6865")).unwrap();
    assert_eq!(
        second,
        ":method: GET\n:scheme: http\n:path: /\ncache-control: no-cache"
    );
    // Its index is counted from the newest entry, so it is known from now on.
    assert_eq!(
        decode(&mut decoder, &hex("be")).unwrap(),
        "cache-control: no-cache"
    );
    let partial = decoder
        .decode(&hex("bf"), 100, &mut |_, _| panic!())
        .unwrap();
    assert!(partial);
}

#[test]
fn fields_beyond_the_limit_are_left_out_but_the_table_stays_right() {
    let mut decoder = Decoder::new();
    let mut count = 0;
    let block = hex("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d");
    assert_eq!(decoder.decode(&block, 20, &mut |_, _| count += 1), Ok(true));
    assert_eq!(count, 2);
    assert_eq!(
        decode(&mut decoder, &hex("be")).unwrap(),
        ":authority: www.example.com"
    );
}

#[test]
fn the_table_never_outgrows_its_bound() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &hex("3f ff ff ff 7f")).unwrap();
    for _ in 0..100 {
        let mut block = vec![0x40, 1, b'n', 0x7f, 0x80 | 0x39, 0x17];
        block.extend(std::iter::repeat_n(b'v', 0x7f + 0x39 + (0x17 << 7)));
        decode(&mut decoder, &block).unwrap();
        assert!(decoder.buffered() <= table::MAX_SIZE);
    }
}

#[test]
fn malformed_blocks_are_refused() {
    for block in [
        "80",
        "40",
        "4001",
        "00ff",
        "0001 61ff ffff ffff",
        "be be 7f",
    ] {
        assert!(
            decode(&mut Decoder::new(), &hex(block)).is_err() || block == "be be",
            "{block}"
        );
    }
}

proptest! {
    #[test]
    fn any_block_is_decoded_or_refused(block in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::joined();
        let _ = decode(&mut decoder, &block);
        prop_assert!(decoder.buffered() <= table::MAX_SIZE);
    }
}
