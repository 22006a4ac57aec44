// Package vault seals the secrets of webhooks for keeping, with AES-256-GCM under one of several keys, so that a key can be replaced while
// what the one before has sealed is still read.
package vault

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// keyBytes is the length of a key.
const keyBytes = 32

// Ring holds keys by their ids: the first seals, all open. It is safe for concurrent use.
type Ring struct {
	first string
	keys  map[string]cipher.AEAD
}

// Parse reads keys: a line each, of an id and 32 bytes in base64, with a space between. Empty lines and those that begin with # are passed
// over. Errors never quote the text.
func Parse(text []byte) (*Ring, error) {
	r := &Ring{keys: make(map[string]cipher.AEAD)}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.add(line); err != nil {
			return nil, fmt.Errorf("line %d of the keys: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, errors.New("the keys are not lines of text")
	}
	if r.first == "" {
		return nil, errors.New("the keys have no line of an id and 32 bytes in base64")
	}
	return r, nil
}

func (r *Ring) add(line string) error {
	id, encoded, _ := strings.Cut(line, " ")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	switch {
	case err != nil:
		return errors.New("what follows the id is not base64")
	case len(key) != keyBytes:
		return fmt.Errorf("the key has %d bytes; it needs %d", len(key), keyBytes)
	case strings.ContainsRune(id, ':'):
		return errors.New("an id has no colon")
	case r.keys[id] != nil:
		return errors.New("the id stands for another key already")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("use a key: %w", err)
	}
	if r.keys[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return fmt.Errorf("use a key: %w", err)
	}
	if r.first == "" {
		r.first = id
	}
	return nil
}

// New returns the text of a new key for Parse.
func New(id string) []byte {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	return []byte(id + " " + base64.StdEncoding.EncodeToString(key) + "\n")
}

// Seal encrypts a secret for its owner: nobody else's name opens it.
func (r *Ring) Seal(secret []byte, owner string) string {
	sealed := r.keys[r.first].Seal(nil, nil, secret, []byte(owner)) //nolint:gosec // this cipher draws its own nonce
	return r.first + ":" + base64.StdEncoding.EncodeToString(sealed)
}

// Open decrypts what was sealed for the owner. It fails for a key that the ring does not hold, for another owner, and for what was changed.
func (r *Ring) Open(sealed, owner string) ([]byte, error) {
	id, encoded, _ := strings.Cut(sealed, ":")
	key := r.keys[id]
	if key == nil {
		return nil, fmt.Errorf("open the secret of %s: there is no key %q: put it back behind the first", owner, id)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("open the secret of %s: what is kept is not base64", owner)
	}
	secret, err := key.Open(nil, nil, data, []byte(owner))
	if err != nil {
		return nil, fmt.Errorf("open the secret of %s: %w", owner, err)
	}
	return secret, nil
}

// Stale tells whether a secret was sealed under another key than the first.
func (r *Ring) Stale(sealed string) bool { return !strings.HasPrefix(sealed, r.first+":") }
