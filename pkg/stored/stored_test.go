package stored_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/stored"
)

func TestTexts_KeepTheFirstFailure(t *testing.T) {
	t.Parallel()
	var texts stored.Texts
	require.Equal(t, "2022-04", texts.Month("2022-04").String())
	require.True(t, texts.Date("").IsZero())
	require.Nil(t, texts.Decimal(""))
	require.NoError(t, texts.Err)
	require.Equal(t, "2022/23", texts.Year("2022/23").String())
	require.Zero(t, texts.Month("2022-13"))
	first := texts.Err
	require.ErrorContains(t, first, "stored value")
	require.Nil(t, texts.Decimal("1.5"), "what comes after a failure is not read")
	texts.Date("never")
	require.Equal(t, first, texts.Err)
}
