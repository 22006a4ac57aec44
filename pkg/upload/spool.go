package upload

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// SpoolOptions says how a file is spooled.
type SpoolOptions struct {
	// Dir is where the file lies while it is read; empty means the system's directory for temporary files.
	Dir string
	// MaxBytes is the greatest size after decompression; it is required.
	MaxBytes int64
	// Reason is that of the Invalid faults for a file that is too large or damaged.
	Reason string
	// Through, unless it is nil, is put between the stream, decompressed, and the disk, to refuse what it lets through.
	Through func(io.Reader) io.Reader
}

// Spooled is a file on disk, as it was sent but decompressed. It is read as often as needed, so that memory does not grow with its size.
type Spooled struct {
	file *os.File
	// SHA256 is the hash of the decompressed bytes, in hexadecimal.
	SHA256 string
	// Bytes is the size after decompression.
	Bytes int64
}

// Spool copies a stream to a temporary file, decompressing gzip, which it knows by its first bytes. Damaged compression and files that
// are too large are Invalid faults; a full disk is a Busy one. Errors of the stream come back as they are. The file has no name any more
// when Spool returns, so that a crash leaves none.
func Spool(stream io.Reader, o SpoolOptions) (_ *Spooled, err error) {
	file, err := os.CreateTemp(o.Dir, "pcnfunding-import-*.csv")
	if err != nil {
		return nil, diskFault(err)
	}
	s := &Spooled{file: file}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("unlink the spooled file: %w", err)
	}
	source := &noted{r: stream}
	content, err := decompressed(source)
	if err != nil {
		return nil, source.explain(err, o.Reason)
	}
	content = io.LimitReader(content, o.MaxBytes+1)
	if o.Through != nil {
		content = o.Through(content)
	}
	hash := sha256.New()
	out := &diskWriter{w: bufio.NewWriterSize(file, 1<<16)}
	s.Bytes, err = io.Copy(io.MultiWriter(hash, out), content)
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return nil, source.explain(err, o.Reason)
	}
	if s.Bytes > o.MaxBytes {
		return nil, fault.New(fault.Invalid, o.Reason, "the file is larger than %d bytes after decompression", o.MaxBytes).With("limit_bytes", o.MaxBytes)
	}
	s.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return s, nil
}

// Close gives up the content.
func (s *Spooled) Close() error {
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("close the spooled file: %w", err)
	}
	return nil
}

// Open returns the content from its start.
func (s *Spooled) Open() io.Reader { return io.NewSectionReader(s.file, 0, s.Bytes) }

// decompressed looks at the first bytes of a stream and reads through gzip if they say so.
func decompressed(stream io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(stream, 1<<16)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		return buffered, nil
	}
	return gzip.NewReader(buffered)
}

// noted keeps the error of a stream, so that a broken upload is told from damaged compression.
type noted struct {
	r   io.Reader
	err error
}

func (n *noted) Read(p []byte) (int, error) {
	count, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return count, err
}

// explain turns an error met while spooling into what the caller may see.
func (n *noted) explain(err error, reason string) error {
	var corrupt flate.CorruptInputError
	switch {
	case n.err != nil:
		return n.err
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.As(err, &corrupt):
		return fault.New(fault.Invalid, reason, "the gzip compression of the file is damaged or ends too early").Because(err)
	default:
		return err
	}
}

// diskWriter turns the errors of the temporary file into faults.
type diskWriter struct{ w *bufio.Writer }

func (d *diskWriter) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	return n, diskFault(err)
}

func (d *diskWriter) flush() error { return diskFault(d.w.Flush()) }

func diskFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Busy, sqldb.ReasonStorageFull, "there is no room to take the file in").Because(err)
	default:
		return fmt.Errorf("spool the file: %w", err)
	}
}
