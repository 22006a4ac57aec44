package devfund_test

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// publishedWeights is the real file of 2022/23, as it comes with the sample.
const publishedWeights = "../sample/data/gp_practice_weighted_population_2022-23.csv.gz"

const weightsHeader = "Practice_Code,pop 2022/23,Health Ineq WP,Primary Medical Care WP,Final PMC WP\n"

// sendWeights sends a file as a client does.
func (s *suite) sendWeights(t *testing.T, p auth.Principal, header *devfundv1.ImportNeedWeightsHeader, content io.Reader) (*devfundv1.NeedImport, error) {
	t.Helper()
	stream, err := s.devfund.ImportNeedWeights(s.as(t, p))
	require.NoError(t, err)
	err = stream.Send(&devfundv1.ImportNeedWeightsRequest{Part: &devfundv1.ImportNeedWeightsRequest_Header{Header: header}})
	for buffer := make([]byte, 64<<10); err == nil; {
		n, more := content.Read(buffer)
		if n > 0 {
			err = stream.Send(&devfundv1.ImportNeedWeightsRequest{Part: &devfundv1.ImportNeedWeightsRequest_Chunk{Chunk: append([]byte(nil), buffer[:n]...)}})
		}
		if errors.Is(more, io.EOF) {
			break
		}
	}
	return stream.CloseAndRecv()
}

func (s *suite) weightsOf(year, name string) *devfundv1.ImportNeedWeightsHeader {
	return &devfundv1.ImportNeedWeightsHeader{RequestId: s.next(), FinancialYear: year, FileName: name, Source: "NHS England"}
}

func operator() auth.Principal {
	return auth.Principal{Subject: "operator", Roles: []optionsv1.Role{optionsv1.Role_ROLE_OPERATOR}, Commissioners: []string{auth.England}}
}

// TestNeed_PublishedWeightsObeyTheIdentity takes in the real file of 2022/23: every one of its 6,554 practices obeys final = 0.85 × primary
// medical care + 0.15 × health inequality, and its columns sum to the same population.
func TestNeed_PublishedWeightsObeyTheIdentity(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		file, err := os.Open(publishedWeights)
		require.NoError(t, err)
		defer func() { require.NoError(t, file.Close()) }()
		taken, err := s.sendWeights(t, operator(), s.weightsOf("2022-23", "weights.csv.gz"), file)
		require.NoError(t, err)
		require.Equal(t, int32(6554), taken.GetPractices())
		require.Empty(t, taken.GetSkipped())
		require.Equal(t, "operator", taken.GetImportedBy())
		require.Equal(t, 6554, s.count(t, "need_weights"))
		require.Equal(t, 1, s.count(t, "audit WHERE resource = $1", "devfund/need-weights/"+taken.GetImportId()))

		got, err := s.devfund.CheckNeedWeights(s.as(t, testkit.Auditor("QX1")), &devfundv1.CheckNeedWeightsRequest{FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.True(t, got.GetPassed())
		require.Equal(t, []int32{6554, 0}, []int32{got.GetPractices(), got.GetFailing()})
		require.Equal(t, []string{"0.85", "0.15", "0.01"}, []string{got.GetPrimaryShare(), got.GetInequalityShare(), got.GetTolerance()})
		require.Equal(t, []string{"N83028", "-0.0042555"}, []string{got.GetLargest().GetPracticeCode(), got.GetLargest().GetGap()})
		require.Equal(t, "61498822", got.GetPopulation()[:8])
		require.Equal(t, "61498821", got.GetFinalWeighted()[:8])
		require.Empty(t, got.GetGaps())
		require.Equal(t, taken.GetImportId(), got.GetNeedImport().GetImportId())
	})
}

func TestNeed_NamesPracticesBeyondTheTolerance(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		_, err := s.sendWeights(t, operator(), s.weightsOf("2023-24", "weights.csv"), strings.NewReader(weightsHeader+
			"A81001,100,200,80,98.01\nA81002,100,50,120,109.52\nA81003,100,100,100,100\nTotal,300,350,300,307\n"))
		require.NoError(t, err)
		got, err := s.devfund.CheckNeedWeights(s.as(t, testkit.Auditor("*")), &devfundv1.CheckNeedWeightsRequest{FinancialYear: "2023-24"})
		require.NoError(t, err)
		require.False(t, got.GetPassed())
		require.Equal(t, []int32{3, 1}, []int32{got.GetPractices(), got.GetFailing()})
		require.Len(t, got.GetGaps(), 1)
		gap := got.GetGaps()[0]
		require.Equal(t, []string{"A81002", "109.5", "109.52", "0.02"}, []string{gap.GetPracticeCode(), gap.GetExpected(), gap.GetPublished(), gap.GetGap()})
		require.Equal(t, "A81002", got.GetLargest().GetPracticeCode())
		require.Equal(t, []string{`line 5: "Total" is no practice`}, got.GetNeedImport().GetSkipped())
	})
}

func TestNeed_RefusesFiles(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		good := weightsHeader + "A81001,1,1,1,1\n"
		send := func(p auth.Principal, year, content string) error {
			_, err := s.sendWeights(t, p, s.weightsOf(year, "weights.csv"), strings.NewReader(content))
			return err
		}
		refused(t, send(operator(), "2018-19", good), "YEAR_OUT_OF_RANGE")
		refused(t, send(operator(), "2022-24", good), "YEAR_MALFORMED")
		refused(t, send(operator(), "2022-23", "provider_code,attendances\nRXX,1\n"), "FILE_MALFORMED")
		refused(t, send(operator(), "2022-23", ""), "FILE_MALFORMED")
		refused(t, send(testkit.Preparer("QX1"), "2022-23", good), "ENGLAND_REQUIRED")
		refused(t, send(testkit.Auditor("*"), "2022-23", good), "ROLE_REQUIRED")

		err := send(operator(), "2022-23", weightsHeader+"A81001,1,1,1,1\nA81001,2,2,2,2\nA81002,1,-1,x,1\n")
		refused(t, err, "FILE_MALFORMED", "bad_values", "3", "rows_good", "1")
		var said []string
		for _, v := range faultOf(err).Violations {
			said = append(said, v.Field+" "+v.Reason+" "+v.Description)
		}
		require.Equal(t, []string{
			`line 3, column Practice_Code RECEIVER_TWICE "A81001": it stands in line 2 already`,
			`line 4, column Primary Medical Care WP DECIMAL_MALFORMED "x": a weight is written in plain digits with at most one point`,
			`line 4, column Health Ineq WP WEIGHT_NEGATIVE "-1": a weight is nothing or more`,
		}, said)
		require.Zero(t, s.count(t, "need_imports"), "nothing of a bad file is stored")

		header := s.weightsOf("2022-23", "weights.csv")
		header.Sha256 = strings.Repeat("0", 64)
		_, err = s.sendWeights(t, operator(), header, strings.NewReader(good))
		refused(t, err, "FILE_MALFORMED")

		first := s.weightsOf("2022-23", "weights.csv")
		taken, err := s.sendWeights(t, operator(), first, strings.NewReader(good))
		require.NoError(t, err)
		var packed strings.Builder
		w := gzip.NewWriter(&packed)
		_, err = w.Write([]byte(good))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		refused(t, send(operator(), "2022-23", packed.String()), "FILE_ALREADY_IMPORTED", "import_id", taken.GetImportId())
		again, err := s.sendWeights(t, operator(), first, strings.NewReader(good))
		require.NoError(t, err)
		require.Equal(t, taken.GetImportId(), again.GetImportId(), "the same request gets the stored answer")
		_, err = s.sendWeights(t, operator(), first, strings.NewReader(good+"A81002,1,1,1,1\n"))
		refused(t, err, "REQUEST_ID_REUSED")
		require.NoError(t, send(operator(), "2023-24", good), "of another year it is another file")
		require.NoError(t, send(operator(), "2022-23", good+"A81002,1,1,1,1\n"))
		check, err := s.devfund.CheckNeedWeights(s.as(t, testkit.Auditor("*")), &devfundv1.CheckNeedWeightsRequest{FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.Equal(t, int32(2), check.GetPractices(), "the newest counts")
	})
}

func TestNeed_AsksForWeightsAndLists(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		ctx := s.as(t, testkit.Preparer("QX1"))
		_, err := s.devfund.CheckNeedWeights(ctx, &devfundv1.CheckNeedWeightsRequest{FinancialYear: "2022-23"})
		refused(t, err, "NEED_WEIGHTS_NOT_FOUND")
		_, err = s.devfund.ForecastNeed(ctx, &devfundv1.ForecastNeedRequest{FinancialYear: "2022-23", CommissionerCode: "QX1"})
		refused(t, err, "NEED_WEIGHTS_NOT_FOUND")
		_, err = s.sendWeights(t, operator(), s.weightsOf("2022-23", "weights.csv"), strings.NewReader(weightsHeader+"A81001,1,1,1,1\n"))
		require.NoError(t, err)
		bare := snapshotPCN("U1", "QX1", "QX1", 100)
		bare.Practices[0].Populations = nil
		s.register.set(bare)
		_, err = s.devfund.ForecastNeed(s.as(t, testkit.Preparer("QX1")), &devfundv1.ForecastNeedRequest{FinancialYear: "2022-23", CommissionerCode: "QX1"})
		refused(t, err, "POPULATION_MISSING", "list_date", "2022-01-01")
		_, err = s.devfund.ForecastNeed(s.as(t, testkit.Preparer("QX2")), &devfundv1.ForecastNeedRequest{FinancialYear: "2022-23", CommissionerCode: "QX1"})
		refused(t, err, auth.ReasonNotFound)
	})
}

// TestNeed_ForecastsByTheNationalScale works a forecast of two networks out by hand. The third practice is another commissioner's, whose
// population stands for its list.
func TestNeed_ForecastsByTheNationalScale(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		_, err := s.sendWeights(t, operator(), s.weightsOf("2022-23", "weights.csv"), strings.NewReader(weightsHeader+
			"AU1,1000,1000,1200,1200\nAU2,1000,1000,800,800\nAU9,2000,2000,2000,2000\n"))
		require.NoError(t, err)
		one, two, third := snapshotPCN("U1", "QX1", "QX1", 1000), snapshotPCN("U2", "QX1", "QX1", 500), snapshotPCN("U3", "QX1", "QX1", 300)
		third.Practices[0].Populations = append(third.GetPractices()[0].GetPopulations()[:1:1], third.GetPractices()[0].GetPopulations()[1])
		s.register.set(one, two, third)
		got, err := s.devfund.ForecastNeed(s.as(t, testkit.Preparer("QX1")), &devfundv1.ForecastNeedRequest{FinancialYear: "2022-23", CommissionerCode: "QX1"})
		require.NoError(t, err)
		require.Equal(t, []string{"2022-04-01", "2022-01-01"}, []string{
			s.register.asked[len(s.register.asked)-1].GetMembershipDate(), s.register.asked[len(s.register.asked)-1].GetPopulationReferenceDate(),
		})
		// Weighted: 1,200 + 400 + 300 as listed + 2,000 of others = 3,900; lists: 1,000 + 500 + 300 + 2,000 = 3,800.
		require.Equal(t, "38/39", got.GetScale())
		type row struct{ pcn, list, forecast, published, difference string }
		var rows []row
		for _, r := range got.GetRows() {
			rows = append(rows, row{r.GetPcnCode(), r.GetRegistered(), r.GetForecast(), r.GetPublished(), r.GetDifferencePercent()})
		}
		require.Equal(t, []row{
			{"U1", "1000", "1169.23", "1100", "6.29"},
			{"U2", "500", "389.74", "550", "-29.14"},
			{"U3", "300", "292.31", "", ""},
		}, rows)
		require.Equal(t, []string{"AU3"}, got.GetRows()[2].GetPracticesWithoutWeight())
		require.Equal(t, []string{"1800", "1851.28"}, []string{got.GetRegistered(), got.GetForecast()})
		require.Equal(t, "Network U1", got.GetRows()[0].GetPcnName())

		later, err := s.devfund.ForecastNeed(s.as(t, testkit.Preparer("QX1")), &devfundv1.ForecastNeedRequest{FinancialYear: "2022-23", CommissionerCode: "QX1", ListDate: "2023-01-01"})
		require.NoError(t, err)
		require.Equal(t, "2023-01-01", later.GetListDate())
		_, err = s.devfund.ForecastNeed(s.as(t, testkit.Preparer("QX1")), &devfundv1.ForecastNeedRequest{FinancialYear: "2022-23", CommissionerCode: "QX1", ListDate: "2023-02-30"})
		refused(t, err, "DATE_MALFORMED")
	})
}

// TestNeed_NeverServesPayment: an import moves no allocation and announces nothing.
func TestNeed_NeverServesPayment(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		before, versions := len(s.published(t)), s.count(t, "allocation_versions")
		_, err := s.sendWeights(t, operator(), s.weightsOf("2022-23", "weights.csv"), strings.NewReader(weightsHeader+"A81001,1,1,1,1\n"))
		require.NoError(t, err)
		require.Len(t, s.published(t), before)
		require.Equal(t, versions, s.count(t, "allocation_versions"))
	})
}
