package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const probe = "/v1/core/rates/NPP-2022-04"

func encoded(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(out)
}

// claimsOf reads the claims of a good token.
func claimsOf(t testing.TB, token string) (header, claims fields) {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	for i, into := range []*fields{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, into))
	}
	return header, claims
}

// signed makes an ES256 token of any header and claims.
func signed(t testing.TB, key *ecdsa.PrivateKey, header, claims fields) string {
	t.Helper()
	text := encoded(t, header) + "." + encoded(t, claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	require.NoError(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(append(padded(r), padded(s)...))
}

func padded(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }

// localKey is the key of the suite's own issuer, or nil if the suite runs elsewhere.
func localKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	if suite.dataDir == "" {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(suite.dataDir, "local-issuer.key"))
	require.NoError(t, err)
	block, _ := pem.Decode(content)
	require.NotNil(t, block)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	out, ok := key.(*ecdsa.PrivateKey)
	require.True(t, ok)
	return out
}

func TestToken_IsNeededAndMustBeGood(t *testing.T) {
	t.Parallel()
	good := as(t, "auditor").token
	header, claims := claimsOf(t, good)
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tampered := claims.with("roles", []string{"finance_preparer", "operator"})
	parts := strings.Split(good, ".")
	tokens := map[string]string{
		"garbage":           "garbage",
		"three dots":        "a.b.c",
		"empty parts":       "..",
		"long":              strings.Repeat("a", 6000) + ".b.c",
		"other key":         signed(t, foreign, header, claims),
		"unknown kid":       signed(t, foreign, header.with("kid", "../../etc/passwd"), claims),
		"algorithm none":    encoded(t, fields{"alg": "none", "typ": "JWT"}) + "." + parts[1] + ".",
		"algorithm HS256":   encoded(t, header.with("alg", "HS256")) + "." + parts[1] + "." + parts[2],
		"claims changed":    parts[0] + "." + encoded(t, tampered) + "." + parts[2],
		"signature cut":     good[:len(good)-4],
		"signature dropped": parts[0] + "." + parts[1] + ".",
	}
	if key := localKey(t); key != nil {
		require.Equal(t, http.StatusOK, caller{token: signed(t, key, header, claims)}.get(t, probe).Status, "the test signs as the issuer does")
		tokens["wrong issuer"] = signed(t, key, header, claims.with("iss", "https://elsewhere.example"))
		tokens["wrong audience"] = signed(t, key, header, claims.with("aud", "payroll"))
		tokens["no subject"] = signed(t, key, header, claims.with("sub", ""))
		tokens["no expiry"] = signed(t, key, header, claims.with("exp", nil))
		tokens["of the far future"] = signed(t, key, header, claims.with("nbf", 4_000_000_000).with("iat", 4_000_000_000).with("exp", 4_000_000_600))
		tokens["roles no list"] = signed(t, key, header, claims.with("roles", "auditor"))
		expired := caller{token: signed(t, key, header, claims.with("iat", 1_700_000_000).with("nbf", 1_700_000_000).with("exp", 1_700_000_600))}
		refusedToken(t, expired.get(t, probe), "TOKEN_EXPIRED")
		require.Equal(t, http.StatusForbidden, caller{token: signed(t, key, header, claims.with("roles", []string{}))}.get(t, probe).Status)
		require.Equal(t, http.StatusForbidden, caller{token: signed(t, key, header, claims.with("roles", []string{"emperor"}))}.get(t, probe).Status)
	}
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) { refusedToken(t, caller{token: token}.get(t, probe), "TOKEN_INVALID") })
	}
	refusedToken(t, caller{}.get(t, probe), "TOKEN_MISSING")
	for _, authorization := range []string{"Basic dXNlcjpwYXNz", "Bearer", "Bearer ", good} {
		got := caller{}.get(t, probe, "Authorization", authorization)
		require.Equal(t, http.StatusUnauthorized, got.Status, "%q: %s", authorization, got)
	}
	require.Equal(t, http.StatusOK, caller{}.get(t, probe, "Authorization", "bearer "+good).Status, "the scheme has no case")
	caller{}.get(t, probe, "Authorization", "Bearer "+good, "Authorization", "Bearer x").refused(t, http.StatusBadRequest, "HEADER_INVALID")
}

func refusedToken(t testing.TB, got answer, reason string) {
	t.Helper()
	p := got.refused(t, http.StatusUnauthorized, reason)
	require.Contains(t, got.Header.Get("WWW-Authenticate"), `Bearer realm="pcnfunding"`)
	require.NotContains(t, p.Detail, "eyJ", "no part of the token is repeated")
}

func TestToken_OfAnotherInstallationIsForeign(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, suite.binary, "a foreign token needs PCN_BIN")
	token, err := suite.tokenBy(t.TempDir(), "--role", "auditor")
	require.NoError(t, err)
	refusedToken(t, caller{token: token}.get(t, probe), "TOKEN_INVALID")
}

func TestToken_IsNeededOnEveryRoute(t *testing.T) {
	t.Parallel()
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	spec := caller{}.get(t, "/openapi.json")
	require.NoError(t, json.Unmarshal(spec.Body, &document))
	count := 0
	for path, operations := range document.Paths {
		for verb := range operations {
			verb = strings.ToUpper(verb)
			if verb != http.MethodGet && verb != http.MethodPost {
				continue
			}
			media := "application/json"
			if strings.HasSuffix(path, "/imports") {
				media = csvType
			}
			filled := strings.NewReplacer("{commissioner_code}", "15N", "{month}", "2022-04", "{", "", "}", "").Replace(path)
			r := request{method: verb, path: filled}
			if verb == http.MethodPost {
				r.body, r.headers = strings.NewReader("{}"), []string{"Content-Type", media}
			}
			refusedToken(t, caller{}.call(t, r), "TOKEN_MISSING")
			count++
		}
	}
	require.Greater(t, count, 40)
}

func TestRole_IsNeeded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ role, method, path string }{
		{"auditor", http.MethodPost, "/v1/core/commissioners/42D/months/2022-04:close"},
		{"finance_approver", http.MethodPost, "/v1/core/commissioners/42D/months/2022-04:close"},
		{"regional_viewer", http.MethodPost, "/v1/core/withholdings"},
		{"integration", http.MethodPost, "/v1/core/rates"},
		{"finance_preparer", http.MethodPost, "/v1/core/rates/NPP-2022-04:confirm"},
		{"pcn_manager", http.MethodGet, "/v1/core/schedules"},
		{"pcn_manager", http.MethodGet, "/v1/core/months/2022-04/summary"},
		{"clinical_director", http.MethodGet, "/v1/register/loads"},
		{"operator", http.MethodPost, "/v1/core/settings"},
		{"operator", http.MethodGet, "/v1/core/schedules/core-42D-2022-04-1"},
		{"auditor", http.MethodPost, "/v1/register/payees"},
		{"integration", http.MethodGet, "/v1/register/audit"},
	} {
		who := as(t, c.role)
		if c.method == http.MethodGet {
			who.get(t, c.path).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
			continue
		}
		p := who.post(t, c.path, fields{"request_id": unique()}).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
		require.NotEmpty(t, p.Metadata["roles"])
	}
	as(t, "finance_preparer").upload(t, csvType, strings.NewReader(freshBeds(t, 1)), sourced("e2e")).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	as(t, "operator", "42D").upload(t, csvType, strings.NewReader(freshBeds(t, 1)), sourced("e2e")).refused(t, http.StatusForbidden, "ENGLAND_REQUIRED")
}

func TestOtherCommissioner_IsNotFound(t *testing.T) {
	t.Parallel()
	// 52R is asked for by someone who holds 70F only; what does not exist must look the same.
	stranger := as(t, "finance_preparer", "70F")
	owner := as(t, "finance_preparer", "52R")
	lines := read[schedule](t, owner, "/v1/core/schedules/core-52R-2022-04-1").Lines
	require.NotEmpty(t, lines)
	for _, c := range []struct{ path, like, reason string }{
		{"/v1/core/schedules/core-52R-2022-04-1", "/v1/core/schedules/core-52R-2022-04-9", "SCHEDULE_NOT_FOUND"},
		{"/v1/core/schedules/core-52R-2022-04-1/lines.csv", "/v1/core/schedules/core-52R-2022-04-9/lines.csv", "SCHEDULE_NOT_FOUND"},
		{"/v1/core/lines/" + lines[0].LineID, "/v1/core/lines/core-none", "LINE_NOT_FOUND"},
		{"/v1/core/schedules?commissioner_code=52R", "/v1/core/schedules?commissioner_code=ZZZ", "RESOURCE_NOT_FOUND"},
		{"/v1/core/withholdings?commissioner_code=52R", "/v1/core/withholdings?commissioner_code=ZZZ", "RESOURCE_NOT_FOUND"},
		{"/v1/core/declarations?commissioner_code=52R", "/v1/core/declarations?commissioner_code=ZZZ", "RESOURCE_NOT_FOUND"},
		{"/v1/core/settings?commissioner_code=52R", "/v1/core/settings?commissioner_code=ZZZ", "RESOURCE_NOT_FOUND"},
		{"/v1/core/months/2022-04/summary?commissioner_code=52R", "/v1/core/months/2022-04/summary?commissioner_code=ZZZ", "RESOURCE_NOT_FOUND"},
		{"/v1/core/commissioners/52R/months/2022-04:preview", "/v1/core/commissioners/ZZZ/months/2022-04:preview", "RESOURCE_NOT_FOUND"},
		{"/v1/core/pcns/" + lines[0].PCNCode + "/months/2022-04", "/v1/core/pcns/U00000/months/2022-04", "PCN_NOT_FOUND"},
		{"/v1/register/snapshot?commissioner_code=52R&membership_date=2022-04-01", "/v1/register/snapshot?commissioner_code=ZZZ&membership_date=2022-04-01", "RESOURCE_NOT_FOUND"},
		{"/v1/register/coverage?commissioner_code=52R&membership_date=2022-04-01", "/v1/register/coverage?commissioner_code=ZZZ&membership_date=2022-04-01", ""},
	} {
		t.Run(c.path, func(t *testing.T) {
			got, like := stranger.get(t, c.path), stranger.get(t, c.like)
			require.Equal(t, like.Status, got.Status, "%s\n%s", got, like)
			if c.reason != "" {
				got.refused(t, http.StatusNotFound, c.reason)
				like.refused(t, http.StatusNotFound, c.reason)
			}
		})
	}
	stranger.get(t, "/v1/register/snapshot?membership_date=2022-04-01").refused(t, http.StatusForbidden, "ENGLAND_REQUIRED")
	for _, s := range read[scheduleList](t, stranger, "/v1/core/schedules").Schedules {
		require.Equal(t, "70F", s.CommissionerCode, "a list without a commissioner holds what the caller may see")
	}
	require.Equal(t, 1, read[monthSummary](t, stranger, "/v1/core/months/2022-04/summary").Commissioners)
	body := fields{"request_id": unique(), "commissioner_code": "52R", "pcn_code": lines[0].PCNCode, "payment_code": "NPP", "from_month": "2022-06", "reason": "x"}
	stranger.post(t, "/v1/core/withholdings", body).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	stranger.post(t, "/v1/core/withholdings", body.with("commissioner_code", "70F")).refused(t, http.StatusNotFound, "PCN_NOT_FOUND")
	stranger.post(t, "/v1/core/commissioners/52R/months/2022-04:close", fields{"request_id": unique()}).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	stranger.post(t, "/v1/core/commissioners/52R/months/2022-04:close", fields{"request_id": unique(), "commissioner_code": "70F"}).
		refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
}

func TestOtherCommissioner_CannotBeRecordedFor(t *testing.T) {
	t.Parallel()
	// A practice of QMM is not QKK's to correct, whoever it claims to record for.
	stranger := as(t, "finance_preparer", "QKK")
	practice := firstPCN(t, as(t, "auditor"), "QMM", "2025-04").Practices[0].PracticeCode
	body := fields{
		"request_id": unique(), "commissioner_code": "QKK", "organisation_code": practice, "kind": "POPULATION_KIND_REGISTERED",
		"reference_date": "2025-01-01", "value": "1", "source": "e2e",
	}
	stranger.post(t, "/v1/register/populations", body).refused(t, http.StatusNotFound, "ORGANISATION_UNKNOWN")
	stranger.post(t, "/v1/register/populations", body.with("commissioner_code", "QMM")).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	stranger.post(t, "/v1/register/populations", body.with("commissioner_code", "")).refused(t, http.StatusForbidden, "ENGLAND_REQUIRED")
}
