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

// violations reads a file and returns what is wrong with it, each as field and description.
func violations(t *testing.T, kind paymentsv1.FileKind, content string) (reason string, wrong []string) {
	t.Helper()
	_, err := readFile(kind, []byte(content), period.NewDate(2022, 5, 6))
	f, ok := fault.As(err)
	require.True(t, ok, "%v", err)
	for _, v := range f.Violations {
		wrong = append(wrong, v.Field+": "+v.Description)
	}
	return f.Reason, wrong
}

func TestReadFile_NamesABadAmountOnce(t *testing.T) {
	t.Parallel()
	for _, amount := range []string{"12.345", "1e3", "\"16,000.00\"", "", "ten"} {
		got, wrong := violations(t, paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, "reference,status,payment_date,amount\nx,PAID,2022-05-06,"+amount+"\n")
		require.Equal(t, rules.ReasonFileHasBadRows, got)
		require.Len(t, wrong, 1, "%q", amount)
		require.Contains(t, wrong[0], "line 2, amount: ")
		require.Contains(t, wrong[0], "is no amount in pounds and pence")
	}
	_, wrong := violations(t, paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, "reference,status,payment_date,amount\nx,PAID,2022-05-06,-1.00\n")
	require.Equal(t, []string{`line 2, amount: "-1.00" is not above zero`}, wrong)
}

func TestReadFile_NamesEveryStatus(t *testing.T) {
	t.Parallel()
	_, wrong := violations(t, paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, "reference,status,payment_date,amount\nx,SENT,2022-05-06,1.00\n")
	require.Equal(t, []string{`line 2, status: "SENT" is none of PAID, SETTLED, REJECTED, RETURNED, FAILED`}, wrong)
}

func TestReadFile_RefusesAHeaderAlone(t *testing.T) {
	t.Parallel()
	for kind, header := range map[paymentsv1.FileKind]string{
		paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS: "reference,status,payment_date,amount",
		paymentsv1.FileKind_FILE_KIND_PAID_AMOUNTS:  "payee,month,payment,amount",
	} {
		for _, end := range []string{"", "\n", "\r\n\r\n"} {
			_, err := readFile(kind, []byte(header+end), period.NewDate(2022, 5, 6))
			f, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, rules.ReasonFileMalformed, f.Reason)
			require.Equal(t, "the file has a header and no rows", f.Message)
		}
	}
}
