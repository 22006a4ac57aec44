package upload_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
)

// FuzzSpool checks that what is spooled is what was sent, decompressed, and never more than is allowed; and that all else is the sender's fault.
func FuzzSpool(f *testing.F) {
	const most = 1 << 10
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte("a,b\n1,2\n"))
	_ = w.Close()
	var bomb bytes.Buffer
	w = gzip.NewWriter(&bomb)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	good := packed.Bytes()
	for _, sent := range [][]byte{
		nil, []byte("a,b\n"), {0x1f}, {0x1f, 0x8b}, good, good[:len(good)-4], append(bytes.Clone(good), good...), append(bytes.Clone(good), 'x'), bomb.Bytes(), make([]byte, most+1),
	} {
		f.Add(sent)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		s, err := upload.Spool(bytes.NewReader(sent), upload.SpoolOptions{Dir: t.TempDir(), MaxBytes: most, Reason: "BAD"})
		if err != nil {
			require.Equal(t, "BAD", fault.ReasonOf(err), err)
			return
		}
		defer func() { require.NoError(t, s.Close()) }()
		content, err := io.ReadAll(s.Open())
		require.NoError(t, err)
		require.Len(t, content, int(s.Bytes))
		require.LessOrEqual(t, len(content), most)
		if len(sent) < 2 || sent[0] != 0x1f || sent[1] != 0x8b {
			require.Len(t, content, len(sent))
		}
	})
}
