package auth

import (
	"context"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// Reasons of the faults that verification gives.
const (
	// ReasonTokenMissing asks for a bearer token.
	ReasonTokenMissing = "TOKEN_MISSING"
	// ReasonTokenExpired asks for a fresh token.
	ReasonTokenExpired = "TOKEN_EXPIRED"
	// ReasonTokenInvalid refuses a token; the fault's "claim" names the claim or header that failed.
	ReasonTokenInvalid = "TOKEN_INVALID"
	// ReasonIssuerUnavailable says that the issuer's keys cannot be fetched now.
	ReasonIssuerUnavailable = "ISSUER_UNAVAILABLE"
)

// DefaultAudience is the "aud" claim of tokens meant for this suite.
const DefaultAudience = "pcnfunding"

const (
	// leeway is the difference of clocks that is forgiven, either way.
	leeway = 30 * time.Second
	// maxTokenBytes bounds the work that an unauthenticated caller can cause.
	maxTokenBytes = 16 << 10
)

// Verifier turns a bearer token into a principal.
type Verifier interface {
	// Verify returns the principal of a valid token. Otherwise it returns a fault of kind Unauthenticated with the reason
	// TOKEN_MISSING, TOKEN_EXPIRED or TOKEN_INVALID (whose "claim" names what failed), or Busy ISSUER_UNAVAILABLE when the
	// issuer's keys cannot be had.
	Verify(ctx context.Context, token string) (Principal, error)
}

// claims are the parts of a token that this suite reads. Its times are seconds since 1970.
type claims struct {
	Issuer        string   `json:"iss"`
	Subject       string   `json:"sub"`
	Audience      audience `json:"aud"`
	Expiry        *seconds `json:"exp"`
	NotBefore     *seconds `json:"nbf,omitempty"`
	IssuedAt      *seconds `json:"iat,omitempty"`
	Roles         []string `json:"roles"`
	Commissioners []string `json:"commissioners,omitempty"`
	PCNs          []string `json:"pcns,omitempty"`
}

// audience is a string or a list of strings, as RFC 7519 allows.
type audience []string

// UnmarshalJSON reads either form.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return err
	}
	*a = many
	return nil
}

// seconds is a NumericDate, cut to whole seconds.
type seconds int64

// maxSeconds is the last second of the year 9999; anything later is not a date.
const maxSeconds = 253402300799

// UnmarshalJSON reads a number of seconds, with or without decimals.
func (s *seconds) UnmarshalJSON(data []byte) error {
	whole := string(data)
	if dot := slices.Index(data, '.'); dot > 0 {
		whole = string(data[:dot])
	}
	var n int64
	if err := json.Unmarshal([]byte(whole), &n); err != nil {
		return err
	}
	if n < 0 || n > maxSeconds {
		return &json.UnmarshalTypeError{Value: "number out of range"}
	}
	*s = seconds(n)
	return nil
}

func (s *seconds) time() time.Time { return time.Unix(int64(*s), 0).UTC() }

// expectation is what a token must say to be ours.
type expectation struct {
	issuer, audience string
}

// parseClaims reads the payload of a token whose signature holds. Names are matched exactly and none may stand twice.
func parseClaims(payload []byte) (claims, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return claims{}, invalid("payload", "the token's claims cannot be read").Because(err)
	}
	return c, nil
}

// check holds the claims against what is expected, except for the times.
func (c claims) check(want expectation) error {
	switch {
	case c.Issuer != want.issuer:
		return invalid("iss", "the token comes from another issuer")
	case !slices.Contains(c.Audience, want.audience):
		return invalid("aud", "the token is meant for another audience")
	case c.Subject == "":
		return invalid("sub", "the token names no subject")
	case c.Expiry == nil:
		return invalid("exp", "the token never expires")
	}
	return nil
}

// checkTimes holds the times of the claims against now, with leeway.
func (c claims) checkTimes(now time.Time) error {
	switch {
	case !now.Before(c.Expiry.time().Add(leeway)):
		return fault.New(fault.Unauthenticated, ReasonTokenExpired, "the token has expired").
			With("claim", "exp").With("expired_at", c.Expiry.time().Format(time.RFC3339))
	case c.NotBefore != nil && c.NotBefore.time().After(now.Add(leeway)):
		return invalid("nbf", "the token is not valid yet")
	case c.IssuedAt != nil && c.IssuedAt.time().After(now.Add(leeway)):
		return invalid("iat", "the token was issued in the future")
	}
	return nil
}

// principal reads roles and bodies. A role this build does not know is left out: an issuer may serve other systems too, and
// leaving out only takes rights away.
func (c claims) principal(token string) Principal {
	p := Principal{Subject: c.Subject, Commissioners: compact(c.Commissioners), PCNs: compact(c.PCNs), Token: token}
	for _, name := range c.Roles {
		if role, ok := ParseRole(name); ok && !slices.Contains(p.Roles, role) {
			p.Roles = append(p.Roles, role)
		}
	}
	return p
}

// claimsOf is the reverse of principal, for tokens this suite mints.
func claimsOf(p Principal, want expectation, now time.Time, ttl time.Duration) claims {
	issued, expiry := seconds(now.Unix()), seconds(now.Add(ttl).Unix())
	c := claims{
		Issuer: want.issuer, Subject: p.Subject, Audience: audience{want.audience}, Expiry: &expiry, IssuedAt: &issued,
		Roles: make([]string, 0, len(p.Roles)), Commissioners: p.Commissioners, PCNs: p.PCNs,
	}
	for _, role := range p.Roles {
		if role != optionsv1.Role_ROLE_UNSPECIFIED {
			c.Roles = append(c.Roles, RoleName(role))
		}
	}
	return c
}

// compact drops empty codes and repetitions and keeps the order.
func compact(codes []string) []string {
	var out []string
	for _, code := range codes {
		if code != "" && !slices.Contains(out, code) {
			out = append(out, code)
		}
	}
	return out
}

func invalid(claim, message string) *fault.Fault {
	return fault.New(fault.Unauthenticated, ReasonTokenInvalid, "%s", message).With("claim", claim)
}

func checkShape(token string) error {
	switch {
	case token == "":
		return fault.New(fault.Unauthenticated, ReasonTokenMissing, "a bearer token is needed")
	case len(token) > maxTokenBytes:
		return invalid("token", "the token is too long")
	}
	return nil
}
