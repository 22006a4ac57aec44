package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// oidcAlgorithms are those accepted from an issuer, whatever its discovery document offers. All are asymmetric: a public key
// can never pass for a shared secret.
var oidcAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}

// issuerTimeout bounds one request to the issuer.
const issuerTimeout = 5 * time.Second

// OIDC verifies the tokens of an OpenID Connect issuer. It is safe for concurrent use.
type OIDC struct {
	keys  oidc.KeySet
	want  expectation
	clock func() time.Time
	cache *cache
}

// NewOIDC reads the discovery document of the issuer and returns a verifier of its tokens for the audience. Keys are fetched
// when needed, when a token names a new one, and every five minutes. A key that the issuer no longer gives counts for five minutes
// more, and for ten after that in tokens that were seen before; where the issuer cannot be asked, for an hour and a quarter. It
// fails when the issuer cannot be reached or names itself otherwise.
func NewOIDC(ctx context.Context, issuer, audience string, clock func() time.Time) (Verifier, error) {
	if issuer == "" || audience == "" {
		return nil, errors.New("verify tokens: an issuer and an audience are needed")
	}
	transport := &sparing{next: http.DefaultTransport, clock: clock}
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: issuerTimeout, Transport: transport})
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer %s: %w", issuer, err)
	}
	var document struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return nil, fmt.Errorf("read the discovery document of %s: %w", issuer, err)
	}
	if document.JWKS == "" {
		return nil, fmt.Errorf("the issuer %s names no key set", issuer)
	}
	return &OIDC{
		keys:  &keys{clock: clock, fresh: func() oidc.KeySet { return oidc.NewRemoteKeySet(ctx, document.JWKS) }},
		clock: clock, cache: newCache(), want: expectation{issuer: issuer, audience: audience},
	}, nil
}

// Verify implements Verifier.
func (o *OIDC) Verify(ctx context.Context, token string) (Principal, error) {
	if err := checkShape(token); err != nil {
		return Principal{}, err
	}
	return o.cache.verify(token, o.clock(), func() (claims, error) {
		// The key set checks the signature and nothing else; parsing holds the algorithm to the list first.
		if _, err := parseToken(token, oidcAlgorithms); err != nil {
			return claims{}, err
		}
		payload, err := o.keys.VerifySignature(ctx, token)
		if err != nil {
			return claims{}, signatureFault(ctx, err)
		}
		c, err := parseClaims(payload)
		if err != nil {
			return claims{}, err
		}
		return c, c.check(o.want)
	})
}

// signatureFault tells a token that is wrong from an issuer that cannot be asked and from a caller who has gone.
func signatureFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("wait for the issuer's keys: %w", ctx.Err())
	}
	if unreachable(err) {
		return fault.New(fault.Busy, ReasonIssuerUnavailable, "the issuer's keys cannot be fetched now").Because(err)
	}
	return invalid("signature", "the token's signature does not hold").Because(err)
}

// parseToken reads a compact token with one signature of an accepted algorithm.
func parseToken(token string, algorithms []jose.SignatureAlgorithm) (*jose.JSONWebSignature, error) {
	parsed, err := jose.ParseSignedCompact(token, algorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &algorithm) {
		return nil, invalid("alg", "the token is signed with an algorithm that is not accepted").Because(err)
	}
	if err != nil {
		return nil, invalid("token", "the token cannot be read").Because(err)
	}
	if len(parsed.Signatures) != 1 {
		return nil, invalid("signature", "the token needs exactly one signature")
	}
	return parsed, nil
}
