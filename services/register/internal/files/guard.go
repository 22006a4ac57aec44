package files

import (
	"bytes"
	"io"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// guard passes bytes on and stops when a line grows beyond the limit, before a reader behind it has gathered more than that.
// A line break inside quotes does not end a line, as in CSV.
type guard struct {
	r        io.Reader
	limit    int
	size     int
	lines    int64
	inQuotes bool
}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if bad := g.scan(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

func (g *guard) scan(part []byte) error {
	for len(part) > 0 {
		end := bytes.IndexByte(part, '\n')
		line := part
		if end >= 0 {
			line = part[:end+1]
		}
		part = part[len(line):]
		if bytes.Count(line, []byte{'"'})%2 == 1 {
			g.inQuotes = !g.inQuotes
		}
		g.size += len(line)
		if g.size > g.limit {
			return fault.New(fault.Invalid, rules.ReasonLineTooLong, "line %d is longer than %d bytes", g.lines+1, g.limit).
				With("line", g.lines+1).With("limit_bytes", g.limit)
		}
		if end >= 0 {
			g.lines++
			if !g.inQuotes {
				g.size = 0
			}
		}
	}
	return nil
}
