// Package upload receives files that callers stream: one header, and then the bytes in pieces.
package upload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/idempotency"
)

// Part is one message of an upload: the header, or a piece of the file.
type Part[H comparable] interface {
	GetHeader() H
	GetChunk() []byte
}

// Stream is the receiving end of an upload.
type Stream[P any] interface {
	Recv() (P, error)
}

// Header reads the first message of an upload. It returns Invalid with the given reason where that carries no header.
func Header[H comparable, P Part[H]](stream Stream[P], reason string) (H, error) {
	var none H
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) || (err == nil && first.GetHeader() == none) {
		return none, fault.New(fault.Invalid, reason, "an upload begins with its header").At("header", "the first message carries it")
	}
	if err != nil {
		return none, err
	}
	return first.GetHeader(), nil
}

// Identified refuses a header without a request_id before the file behind it is read.
func Identified(header interface{ GetRequestId() string }) error {
	if header.GetRequestId() == "" {
		return fault.New(fault.Invalid, idempotency.ReasonRequired, "the request needs a request_id").At("request_id", "must not be empty")
	}
	return nil
}

// Reader returns the bytes behind the header as they come. A second header is Invalid with the given reason.
func Reader[H comparable, P Part[H]](stream Stream[P], reason string) io.Reader {
	return &reader[H, P]{stream: stream, reason: reason}
}

type reader[H comparable, P Part[H]] struct {
	stream Stream[P]
	reason string
	rest   []byte
}

func (r *reader[H, P]) Read(p []byte) (int, error) {
	var none H
	for len(r.rest) == 0 {
		part, err := r.stream.Recv()
		if err != nil {
			return 0, err
		}
		if part.GetHeader() != none {
			return 0, fault.New(fault.Invalid, r.reason, "an upload has one header, in its first message").At("header", "send it once")
		}
		r.rest = part.GetChunk()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Content reads the file behind the header whole, and returns it with its SHA-256 in lower-case hexadecimal. It returns Invalid with the
// given reason for more bytes than most, a second header, or bytes of another hash than the one stated; an empty one states nothing.
func Content[H comparable, P Part[H]](stream Stream[P], most int, stated, reason string) (content []byte, sum string, err error) {
	var out bytes.Buffer
	if _, err := out.ReadFrom(io.LimitReader(Reader[H](stream, reason), int64(most)+1)); err != nil {
		return nil, "", err
	}
	if out.Len() > most {
		return nil, "", fault.New(fault.Invalid, reason, "the file is larger than %d bytes: divide it", most)
	}
	hash := sha256.Sum256(out.Bytes())
	sum = hex.EncodeToString(hash[:])
	if stated != "" && stated != sum {
		return nil, "", fault.New(fault.Invalid, reason, "the file did not come as it was sent: its hash is %s", sum).At("sha256", "is not that of the bytes")
	}
	return out.Bytes(), sum, nil
}
