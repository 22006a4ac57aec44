// Command webhook receives events as a webhook of the suite: it verifies each request, passes over what it has had, and prints one line for
// each event. It is an example to copy; what it has had it keeps in memory, where a receiver that lasts would keep it with the effect.
//
//	WEBHOOK_SECRET=whsec_… go run ./services/examples/webhook -cert cert.pem -key key.pem
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxBody bounds a request, in bytes: an event has at most 768 KiB in protobuf, and more as JSON.
const maxBody = 8 << 20

// event is what a receiver needs of a CloudEvent.
type event struct {
	ID           string          `json:"id"`
	Type         string          `json:"type"`
	Subject      string          `json:"subject"`
	Sequence     int64           `json:"sequence,string"`
	Commissioner string          `json:"commissioner"`
	Data         json.RawMessage `json:"data"`
}

// receiver answers the suite. It is safe for concurrent use.
type receiver struct {
	verifiers []*standardwebhooks.Webhook
	handle    func(event) error

	mu   sync.Mutex
	seen map[string]bool
}

// newReceiver makes one for a secret, or for two while it is being replaced.
func newReceiver(handle func(event) error, secrets ...string) (*receiver, error) {
	r := &receiver{handle: handle, seen: make(map[string]bool)}
	for _, secret := range secrets {
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, errors.New("the secret is not one that the suite gave out")
		}
		r.verifiers = append(r.verifiers, verifier)
	}
	if len(r.verifiers) == 0 {
		return nil, errors.New("there is no secret")
	}
	return r, nil
}

// ServeHTTP takes one event in. It answers 2xx only once the event has had its effect: until then the suite sends it again.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	// Verify also refuses what was signed more than five minutes ago, so that an old request cannot be replayed.
	if !r.verified(body, req.Header) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil || e.ID != req.Header.Get(standardwebhooks.HeaderWebhookID) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[e.ID] {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := r.handle(e); err != nil {
		log.Printf("event %s: %v", e.ID, err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.seen[e.ID] = true
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) verified(body []byte, header http.Header) bool {
	for _, verifier := range r.verifiers {
		if verifier.Verify(body, header) == nil {
			return true
		}
	}
	return false
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8443", "address to listen on")
	cert := flag.String("cert", "", "PEM file with the certificate")
	key := flag.String("key", "", "PEM file with its key")
	flag.Parse()
	r, err := newReceiver(func(e event) error {
		_, err := fmt.Printf("%s %s #%d for %s\n", e.Type, e.Subject, e.Sequence, e.Commissioner)
		return err
	}, strings.Fields(os.Getenv("WEBHOOK_SECRET"))...)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: *listen, Handler: r, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
	log.Fatal(server.ListenAndServeTLS(*cert, *key))
}
