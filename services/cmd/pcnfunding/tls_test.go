package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/certs"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

func TestServe_NeedsCertificatesBeyondThisMachine(t *testing.T) {
	t.Parallel()
	whole := transport{TLSCertFile: "tls.crt", TLSKeyFile: "tls.key", TLSCAFile: "ca.crt"}
	for name, c := range map[string]struct {
		grpc, http string
		transport  transport
		says       string
	}{
		"loopback":                {"127.0.0.1:9090", "localhost:8080", transport{}, ""},
		"gRPC for all":            {"0.0.0.0:9090", "127.0.0.1:8080", transport{}, "0.0.0.0:9090 can be reached from elsewhere: --tls-cert-file"},
		"HTTP for all":            {"127.0.0.1:9090", ":8080", transport{}, ":8080 can be reached from elsewhere: --tls-cert-file"},
		"with certificates":       {":9090", ":8080", whole, ""},
		"by choice":               {":9090", ":8080", transport{InsecurePlaintext: true}, ""},
		"a certificate and no CA": {":9090", ":8080", transport{TLSCertFile: "tls.crt", TLSKeyFile: "tls.key"}, "go together"},
		"both at once": {
			":9090", ":8080", transport{TLSCertFile: "tls.crt", TLSKeyFile: "tls.key", TLSCAFile: "ca.crt", InsecurePlaintext: true}, "goes without",
		},
	} {
		command := &serveCommand{Service: "register", GRPC: c.grpc, HTTP: c.http, transport: c.transport}
		command.OIDCIssuer = "https://issuer.example.test"
		if err := command.Validate(); c.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.says, name)
		}
	}
}

func TestTransport_SendsNoTokenInClearTextToAnotherMachine(t *testing.T) {
	t.Parallel()
	for target, elsewhere := range map[string]bool{
		"127.0.0.1:9090": false, "[::1]:9090": false, "localhost:9090": false, "passthrough:///127.0.0.1:9090": false,
		"register:9090": true, "dns:///register:9090": true, "dns://10.0.0.1/register:9090": true, "10.0.0.1:9090": true,
		"dns://127.0.0.1/register:9090": true, "localhost.example.test:9090": true, "": true,
	} {
		require.Equal(t, elsewhere, new(transport).mayDial(target) != nil, target)
		require.NoError(t, (&transport{TLSCertFile: "tls.crt"}).mayDial(target), target)
		require.NoError(t, (&transport{InsecurePlaintext: true}).mayDial(target), target)
	}
	reach := client{Address: "core:9090", Token: "secret"}
	err := reach.withClients(optionsv1.Role_ROLE_AUDITOR, func(clients) error { return nil })
	require.ErrorContains(t, err, "on another machine")
}

func TestServe_IsWhoItsCertificateNames(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	command := &serveCommand{Service: "core", GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", transport: shown(ca.Certify(t.TempDir(), "payments"))}
	command.DataDir, command.RegisterAddress = t.TempDir(), "dns:///register:9090"
	_, err := command.assemble(t.Context())
	require.ErrorContains(t, err, "the certificate is that of payments, and this is core")
}

// shown are the flags of a certificate.
func shown(files certs.Files) transport {
	return transport{TLSCertFile: files.Cert, TLSKeyFile: files.Key, TLSCAFile: files.CA}
}

// tokenIssuer is an issuer that gives a job a token for its secret.
func tokenIssuer(t *testing.T, secret string) *auth.LocalIssuer {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	issuer := testkit.Tokens(t).At(server.URL)
	mux.Handle("GET /.well-known/", issuer.Discovery())
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if id, said, _ := r.BasicAuth(); id != "month-close" || said != secret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token, err := issuer.Mint(auth.Principal{
			Subject: "month-close", Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER}, Commissioners: []string{auth.England},
		}, 10*time.Minute)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 600})
	})
	return issuer
}

// apart starts a service on its own, with its own certificate and folder.
func apart(t *testing.T, ca *testkit.CA, issuer, name, registerAddress string) *process {
	t.Helper()
	command := &serveCommand{Service: name, Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", events: events{Copies: 1}, quiet: true}
	command.transport = shown(ca.Certify(t.TempDir(), name))
	command.DataDir, command.OIDCIssuer, command.OIDCAudience = t.TempDir(), issuer, auth.DefaultAudience
	for _, address := range []*string{
		&command.RegisterAddress, &command.CoreAddress, &command.ArrsAddress, &command.IifAddress, &command.DevfundAddress,
		&command.ActivityAddress, &command.PaymentsAddress, &command.PartnersAddress,
	} {
		*address = registerAddress
	}
	return running(t, command)
}

// running starts what a command runs, for as long as the test.
func running(t *testing.T, command *serveCommand) *process {
	t.Helper()
	process, err := command.assemble(t.Context())
	require.NoError(t, err)
	stop := process.start(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { require.NoError(t, stop()) })
	require.Eventually(t, process.group.Ready, time.Minute, 5*time.Millisecond)
	return process
}

// TestServe_SpeaksMutualTLS runs register, core and the gateway apart, each by its own certificate, and follows one request through
// all three.
func TestServe_SpeaksMutualTLS(t *testing.T) {
	t.Parallel()
	ca, secret := testkit.NewCA(t), "a-secret-of-the-job"
	issuer := tokenIssuer(t, secret)
	register := apart(t, ca, issuer.Issuer(), "register", "")
	registerAddress := "passthrough:///" + register.grpcAddr
	core := apart(t, ca, issuer.Issuer(), "core", registerAddress)
	front := &serveCommand{Service: "gateway", HTTP: "127.0.0.1:0", quiet: true, transport: shown(ca.Certify(t.TempDir(), "gateway"))}
	front.OIDCIssuer, front.OIDCAudience = issuer.Issuer(), auth.DefaultAudience
	front.RegisterAddress, front.CoreAddress = registerAddress, "passthrough:///"+core.grpcAddr
	front.ArrsAddress, front.IifAddress, front.DevfundAddress = registerAddress, registerAddress, registerAddress
	front.ActivityAddress, front.PaymentsAddress, front.PartnersAddress = registerAddress, registerAddress, registerAddress
	rest := running(t, front)

	web := webClient(t, ca)
	token, err := issuer.Mint(testkit.Auditor(auth.England), time.Minute)
	require.NoError(t, err)
	code, reason := askREST(t, web, rest.address()+"/v1/core/commissioners/15N/months/2022-04:preview", token)
	require.Equal(t, http.StatusBadRequest, code)
	require.Equal(t, "MEMBERSHIP_NOT_LOADED", reason, "what register says, by way of core")
	code, _ = askREST(t, web, rest.address()+"/v1/arrs/roles", token)
	require.Equal(t, http.StatusServiceUnavailable, code, "at the address of arrs somebody else answers")
	for _, p := range []*process{register, core, rest} {
		code, _ = askREST(t, web, p.address()+"/readyz", "")
		require.Equal(t, http.StatusOK, code, "a probe has no certificate")
		_, _, metrics := get(t, web, p.address()+"/metrics", "")
		require.Contains(t, string(metrics), "tls_certificate_expiry_timestamp_seconds{")
	}

	file := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, file, []byte(secret))
	reach := client{Address: core.grpcAddr, RegisterAddress: register.grpcAddr}
	reach.transport = shown(ca.Certify(t.TempDir(), "jobs"))
	reach.OIDCIssuer, reach.OIDCClientID, reach.OIDCClientSecretFile = issuer.Issuer(), "month-close", file
	require.NoError(t, reach.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		_, err := suite.register.ListLoads(t.Context(), &registerv1.ListLoadsRequest{})
		return err
	}), "a job by its certificate and its own token")
	for name, files := range map[string]transport{
		"core is not register":  shown(ca.Certify(t.TempDir(), "jobs")),
		"no certificate at all": {},
	} {
		lost := client{Address: register.grpcAddr, access: access{transport: files}, Token: token}
		require.NoError(t, lost.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
			_, err := suite.core.ListRates(t.Context(), &corev1.ListRatesRequest{})
			require.Equal(t, codes.Unavailable, status.Code(err), name)
			return nil
		}))
	}
}

// TestServe_AllSpeaksMutualTLSToItself has one process run everything by one certificate.
func TestServe_AllSpeaksMutualTLSToItself(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	command := &serveCommand{Service: "all", Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", events: events{Copies: 1}, quiet: true}
	command.DataDir, command.transport = t.TempDir(), shown(ca.Certify(t.TempDir(), "all"))
	process := running(t, command)
	token, err := process.issuer.Mint(testkit.Auditor(auth.England), time.Minute)
	require.NoError(t, err)
	code, reason := askREST(t, webClient(t, ca), process.address()+"/v1/core/commissioners/15N/months/2022-04:preview", token)
	require.Equal(t, http.StatusBadRequest, code)
	require.Equal(t, "MEMBERSHIP_NOT_LOADED", reason)
	reach := process.reach()
	require.NoError(t, reach.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		_, err := suite.core.ListRates(t.Context(), &corev1.ListRatesRequest{})
		return err
	}))
}

// webClient trusts the authority, and has no certificate.
func webClient(t *testing.T, ca *testkit.CA) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca.PEM()))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask gets an address and returns the status of the answer, and the reason if it is a problem.
func askREST(t *testing.T, web *http.Client, address, token string) (code int, reason string) {
	t.Helper()
	code, kind, body := get(t, web, address, token)
	var problem struct {
		Reason string `json:"reason"`
	}
	if kind == "application/problem+json" {
		require.NoError(t, json.Unmarshal(body, &problem))
	}
	return code, problem.Reason
}

// get reads an address whole, over HTTP/2 as browsers do.
func get(t *testing.T, web *http.Client, address, token string) (code int, kind string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := web.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	require.Equal(t, 2, answer.ProtoMajor)
	body, err = io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, answer.Header.Get("Content-Type"), body
}
