package workforce_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/arrs/internal/workforce"
)

// FuzzRead holds that a publication is read or refused, packed or not, and never read as if it were empty.
func FuzzRead(f *testing.F) {
	samples, err := filepath.Glob("testdata/*")
	require.NoError(f, err)
	for _, name := range samples {
		content, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(content[:min(len(content), 4<<10)])
	}
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := workforce.Read(content)
		if err != nil {
			require.ErrorIs(t, err, workforce.ErrFormat)
			return
		}
		require.Positive(t, file.Posts+len(file.Bad))
	})
}
