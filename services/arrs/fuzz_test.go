package arrs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// FuzzReadClaimFile holds that a file of claims is read or refused by name, and that what is read stays within the bounds of the contract.
func FuzzReadClaimFile(f *testing.F) {
	const header = "pcn_code,month,label,per_week,left_date,salary,employer_ni,employer_pension,fees,notes\n"
	for _, text := range []string{
		"", header, header + "U1,2022-04,a,37.5,,1000.00,100,50,,\n", "\ufeff" + header + "U1,2022-04,a,,2022-04-30,1,2,3,4,=1+1\nU1,2022-04,a,,,1,2,3,4,\n",
		header + "U1,2022-13,,x,y,-1,1e9,99999999999999999999,,\"\n", "label,salary\nx,1\n", header + "\x00,\xff\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := readClaimFile(content, "15N", true)
		if err != nil {
			_, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			return
		}
		for _, claim := range file.claims {
			require.LessOrEqual(t, len(claim.entry.GetLines()), maxClaimLines)
			require.Equal(t, "15N", claim.entry.GetCommissionerCode())
		}
	})
}
