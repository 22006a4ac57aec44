package sqldb

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// NewID returns a new UUID of version 7, made of the transaction's time and chance. The ids of one transaction sort in the
// order in which they were made.
func (tx *Tx) NewID() string {
	tx.ids++
	return newID(tx.now, tx.ids)
}

// newID lays out a UUIDv7: 48 bits of milliseconds, 12 of the fraction (RFC 9562, method 3), 14 of the counter, 48 of chance.
func newID(now time.Time, counter uint16) string {
	var id uuid.UUID
	us := now.UnixMicro()
	binary.BigEndian.PutUint64(id[:8], uint64(us/1000)<<16|uint64(us%1000*4096/1000))
	binary.BigEndian.PutUint16(id[8:], counter)
	_, _ = rand.Read(id[10:]) // never fails
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
