#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    pe_proto_fuzz::page_state_json(data);
});
