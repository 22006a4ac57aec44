// Package files reads the files of the register: it recognises a file's kind by its header, checks every row, and hands the good
// ones on one by one. A file is spooled to disk once and read from there as often as needed, so that memory does not grow with
// its size.
package files

import (
	"io"

	"github.com/pcnfunding/pcnfunding/pkg/upload"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// The limits of a file.
const (
	// MaxBytes is the greatest size of a file after decompression.
	MaxBytes int64 = 2 << 30
	// MaxLine is the greatest size of a line, with its line breaks inside quotes.
	MaxLine = 1 << 20
	// MaxRows is the greatest number of data rows: thirty times the practices of England. It bounds the memory of a check, which
	// remembers the subject of every row.
	MaxRows = 200_000
)

// Spooled is a file on disk, as it was sent but decompressed.
type Spooled struct {
	*upload.Spooled
	// kept holds the good rows found by Check, if they are few enough.
	kept []*Row
}

// Spool copies a stream to a temporary file in dir (the system's if empty), as upload.Spool does. Lines beyond MaxLine and files beyond
// MaxBytes are Invalid faults too.
func Spool(stream io.Reader, dir string) (*Spooled, error) {
	spooled, err := upload.Spool(stream, upload.SpoolOptions{
		Dir: dir, MaxBytes: MaxBytes, Reason: rules.ReasonFileDamaged,
		Through: func(content io.Reader) io.Reader { return &guard{r: content, limit: MaxLine} },
	})
	if err != nil {
		return nil, err
	}
	return &Spooled{Spooled: spooled}, nil
}
