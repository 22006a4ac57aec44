// Package e2e tests the suite as its users meet it: the built binary, real published data, and REST over HTTP. It knows the
// contracts only by their JSON and shares no code with the product, so that a defect cannot hide in a shared helper.
//
// Without settings the tests build the binary, start it on free ports with the sample loaded and stop it at the end. With
// BASE_URL they use a running suite that has just loaded the sample; tokens then come from E2E_TOKEN_<ROLE> (for all of England),
// from E2E_TOKEN_<ROLE>_<COMMISSIONER>, or from PCN_BIN with the key in E2E_DATA_DIR. PCN_BIN names a binary to use in place of a
// fresh build; E2E_ACCOUNTS_FILE names the file of bank accounts that the running suite reads, which a test writes. The suites that
// the tests start leave out the claims that are modelled with the sample: they take longer than the rest, and no test needs them.
//
// Tests that add up all of England, and those that prove that nothing was stored, run one by one before the others; the others
// run in parallel, each with commissioners of its own.
package e2e
