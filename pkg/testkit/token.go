package testkit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"google.golang.org/grpc/metadata"
)

// tokenLife is the life of the tokens minted for tests.
const tokenLife = 10 * time.Minute

// testKey is shared by the tests of a process: making a key is the dear part of an issuer.
var testKey = sync.OnceValues(func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })

// TokenSource mints tokens that the servers of Serve accept.
type TokenSource struct {
	*auth.LocalIssuer
	t testing.TB
}

// Tokens returns an issuer on the real clock.
func Tokens(t testing.TB) *TokenSource {
	t.Helper()
	return TokensAt(t, time.Now)
}

// TokensAt returns an issuer on the given clock.
func TokensAt(t testing.TB, clock func() time.Time) *TokenSource {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatalf("make a key for tokens: %v", err)
	}
	issuer, err := auth.NewLocalIssuer(key, clock)
	if err != nil {
		t.Fatalf("make an issuer of tokens: %v", err)
	}
	return &TokenSource{LocalIssuer: issuer, t: t}
}

// For mints a token for the principal.
func (s *TokenSource) For(p auth.Principal) string {
	s.t.Helper()
	token, err := s.Mint(p, tokenLife)
	if err != nil {
		s.t.Fatalf("mint a token: %v", err)
	}
	return token
}

// Context returns a context whose outgoing gRPC calls carry a token for the principal, over any connection.
func (s *TokenSource) Context(ctx context.Context, p auth.Principal) context.Context {
	s.t.Helper()
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.For(p))
}

// Preparer is a finance preparer of the commissioners; auth.England makes it one of all.
func Preparer(commissioners ...string) auth.Principal {
	return holder("preparer@example.test", optionsv1.Role_ROLE_FINANCE_PREPARER, commissioners)
}

// Approver is a finance approver of the commissioners, another person than the preparer.
func Approver(commissioners ...string) auth.Principal {
	return holder("approver@example.test", optionsv1.Role_ROLE_FINANCE_APPROVER, commissioners)
}

// Auditor is an auditor of the commissioners.
func Auditor(commissioners ...string) auth.Principal {
	return holder("auditor@example.test", optionsv1.Role_ROLE_AUDITOR, commissioners)
}

// Operator is an operator, for all of England.
func Operator() auth.Principal {
	return holder("operator@example.test", optionsv1.Role_ROLE_OPERATOR, []string{auth.England})
}

// Integration is a partner system that reads for the commissioners.
func Integration(commissioners ...string) auth.Principal {
	return holder("partner@example.test", optionsv1.Role_ROLE_INTEGRATION, commissioners)
}

// PCNManager is a manager of the PCNs, who holds no commissioner.
func PCNManager(pcns ...string) auth.Principal {
	return auth.Principal{
		Subject: "manager@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_PCN_MANAGER}, PCNs: pcns,
	}
}

func holder(subject string, role optionsv1.Role, commissioners []string) auth.Principal {
	return auth.Principal{Subject: subject, Roles: []optionsv1.Role{role}, Commissioners: commissioners}
}
