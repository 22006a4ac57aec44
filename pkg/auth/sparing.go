package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// sparingInterval is the least time between two requests for the same document of the issuer: tokens with invented key
	// names make the key set ask again, and anyone can send those.
	sparingInterval = 10 * time.Second
	// failureInterval is the same after a request that failed, shorter so that an issuer that is back is noticed soon.
	failureInterval = time.Second
	// maxDocumentBytes bounds a document of the issuer.
	maxDocumentBytes = 1 << 20
)

// sparing is a transport for the few documents of an issuer. It answers a repeated request from memory for a short while, be it with
// the failure of before, bounds what is read, and makes an error of any status but 200.
type sparing struct {
	next  http.RoundTripper
	clock func() time.Time

	mu   sync.Mutex
	last map[string]document
}

type document struct {
	header http.Header
	body   []byte
	failed error
	at     time.Time
}

// holds tells whether a document need not be asked for again.
func (d document) holds(now time.Time) bool {
	age, life := now.Sub(d.at), sparingInterval
	if d.failed != nil {
		life = failureInterval
	}
	return age >= 0 && age < life
}

// RoundTrip implements http.RoundTripper.
func (s *sparing) RoundTrip(req *http.Request) (*http.Response, error) {
	address, now := req.URL.String(), s.clock()
	s.mu.Lock()
	kept, found := s.last[address]
	s.mu.Unlock()
	if !found || !kept.holds(now) {
		var err error
		kept, err = s.fetch(req)
		kept.failed, kept.at = err, now
		s.keep(address, kept)
	}
	if kept.failed != nil {
		return nil, kept.failed
	}
	return kept.response(req), nil
}

func (s *sparing) keep(address string, d document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = make(map[string]document)
	}
	s.last[address] = d
}

func (s *sparing) fetch(req *http.Request) (document, error) {
	resp, err := s.next.RoundTrip(req)
	if err != nil {
		return document{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return document{}, fmt.Errorf("the issuer answered %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocumentBytes+1))
	if err != nil {
		return document{}, fmt.Errorf("read the issuer's document: %w", err)
	}
	if len(body) > maxDocumentBytes {
		return document{}, fmt.Errorf("the issuer's document is longer than %d bytes", maxDocumentBytes)
	}
	if !json.Valid(body) {
		return document{}, errors.New("the issuer's document is no JSON")
	}
	return document{header: resp.Header.Clone(), body: body}, nil
}

func (d document) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: d.header.Clone(), Body: io.NopCloser(bytes.NewReader(d.body)), ContentLength: int64(len(d.body)), Request: req,
	}
}
