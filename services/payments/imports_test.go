package payments

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

func TestReadFile_NamesARowThatIsNoCSV(t *testing.T) {
	t.Parallel()
	for _, row := range []string{`"`, `a"b`, `""x`, "\"a\nb"} {
		content := []byte("reference,status,payment_date,amount\n" + row + "\n")
		_, err := readFile(paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, content, period.NewDate(2022, 5, 6))
		f, ok := fault.As(err)
		require.True(t, ok, "%q", row)
		require.Equal(t, rules.ReasonFileHasBadRows, f.Reason, "%q", row)
		require.Equal(t, "line 2", f.Violations[0].Field, "%q", row)
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add("reference,status,payment_date,amount\n16C-2022-04-1-A81001,PAID,2022-05-06,681.73\n")
	f.Add("payee,year,payment,amount\nA81001,2022/23,NPP,8180.76\n")
	f.Add("\uFEFFpayee,month,payment,amount\r\nA81001,2022-04,NPP,-1\r\n\"")
	f.Fuzz(func(t *testing.T, content string) {
		for _, kind := range []paymentsv1.FileKind{paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, paymentsv1.FileKind_FILE_KIND_PAID_AMOUNTS} {
			rows, err := readFile(kind, []byte(content), period.NewDate(2022, 5, 6))
			if err != nil {
				f, ok := fault.As(err)
				require.True(t, ok)
				require.Equal(t, fault.Invalid, f.Kind)
				require.Empty(t, rows)
			}
		}
	})
}
