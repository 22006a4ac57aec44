package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// cacheEntries bounds the memory of the cache; a national suite has fewer callers at once.
	cacheEntries = 10_000
	// cacheLife bounds how long a key that its issuer has withdrawn is still trusted for tokens seen before.
	cacheLife = 10 * time.Minute
)

// cache keeps the claims of tokens whose signature was found to hold, by the hash of the token: checking a signature costs a
// hundred times more. Times are checked again on every use.
type cache struct {
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]cached
}

type cached struct {
	claims    claims
	principal Principal
	until     time.Time
}

func newCache() *cache { return &cache{entries: make(map[[sha256.Size]byte]cached)} }

// verify returns the principal of a token seen before, or else has it checked in full.
func (c *cache) verify(token string, now time.Time, full func() (claims, error)) (Principal, error) {
	hash := sha256.Sum256([]byte(token))
	c.mu.RLock()
	entry, found := c.entries[hash]
	c.mu.RUnlock()
	if found && now.Before(entry.until) {
		if err := entry.claims.checkTimes(now); err != nil {
			return Principal{}, err
		}
		return entry.principal, nil
	}
	checked, err := full()
	if err != nil {
		return Principal{}, err
	}
	if err := checked.checkTimes(now); err != nil {
		return Principal{}, err
	}
	entry = cached{claims: checked, principal: checked.principal(token), until: now.Add(cacheLife)}
	c.put(hash, entry, now)
	return entry.principal, nil
}

// put makes room when the cache is full: first the entries that are over, then any.
func (c *cache) put(hash [sha256.Size]byte, entry cached, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= cacheEntries {
		for key, old := range c.entries {
			if !now.Before(old.until) || !now.Before(old.claims.Expiry.time().Add(leeway)) {
				delete(c.entries, key)
			}
		}
	}
	for key := range c.entries {
		if len(c.entries) < cacheEntries {
			break
		}
		delete(c.entries, key)
	}
	c.entries[hash] = entry
}
