package activity

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/feed"
)

// TestGuard_ReadsNoFurtherThanAWrongHeader has a source that fails once something after the header is asked for.
func TestGuard_ReadsNoFurtherThanAWrongHeader(t *testing.T) {
	t.Parallel()
	const good = "provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances"
	beyond := errors.New("read beyond the header")
	for header, want := range map[string]string{
		"nhs_number," + good + "\n": "PATIENT_LEVEL_COLUMN", good + ",mood\n": "PATIENT_LEVEL_COLUMN", "9434765919,1948-05-12\n": "LAYOUT_MISMATCH",
		strings.Repeat("x", 3*feed.MaxLine) + "\n": "LAYOUT_MISMATCH", "": "FILE_EMPTY",
	} {
		source := io.MultiReader(strings.NewReader(header), iotest.ErrReader(beyond))
		if header == "" {
			source = strings.NewReader("")
		}
		passed, err := io.ReadAll(newGuard(source, feed.Options{Commissioner: "15N"}))
		require.Equal(t, want, fault.ReasonOf(err), "%.30q", header)
		require.Empty(t, passed)
	}
	text := good + "\nRH8,,2020-11,01,first,L83001,VB05Z,12\n"
	passed, err := io.ReadAll(newGuard(iotest.OneByteReader(strings.NewReader(text)), feed.Options{Commissioner: "15N"}))
	require.NoError(t, err)
	require.Equal(t, text, string(passed))
}
