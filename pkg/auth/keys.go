package auth

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// keysLife is how long keys are used before the issuer is asked again: a key set by itself asks only for keys that it does not
	// know, and would trust a withdrawn one for good.
	keysLife = 5 * time.Minute
	// keysGrace is how much longer they are used while the issuer cannot be asked, so that its outage is not one of the suite.
	keysGrace = time.Hour
)

// keys are those of an issuer as it gave them not long ago. They implement oidc.KeySet and are safe for concurrent use.
type keys struct {
	fresh func() oidc.KeySet
	clock func() time.Time

	mu      sync.Mutex
	current oidc.KeySet
	made    time.Time
	tried   time.Time
}

// VerifySignature checks the signature of a token by the keys of the issuer, with those of before if they are due and cannot be had.
func (k *keys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	now := k.clock()
	current, next := k.pick(now)
	if next == nil {
		return current.VerifySignature(ctx, token)
	}
	payload, err := next.VerifySignature(ctx, token)
	if unreachable(err) || ctx.Err() != nil {
		return current.VerifySignature(ctx, token)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current, k.made = next, now
	return payload, err
}

// pick returns the keys to use, and those to try first when the former are due. One call at a time tries, and the others do not wait.
func (k *keys) pick(now time.Time) (current, next oidc.KeySet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age, waited := now.Sub(k.made), now.Sub(k.tried)
	switch {
	case k.current == nil || age < 0 || age >= keysLife+keysGrace:
		k.current, k.made = k.fresh(), now
	case age >= keysLife && (waited < 0 || waited >= sparingInterval):
		k.tried = now
		return k.current, k.fresh()
	}
	return k.current, nil
}

// unreachable tells an issuer that could not be asked from a signature that does not hold.
func unreachable(err error) bool {
	var asking *url.Error
	return errors.As(err, &asking)
}
