package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/weights"
)

const (
	// needImportLimit bounds the transaction that stores a file.
	needImportLimit = 2 * time.Minute
	// maxNeedViolations bounds the bad values that a refusal shows.
	maxNeedViolations = 20
	// maxNeedGaps bounds the practices beyond the tolerance that a check shows, and maxNeedSkipped the rows that are no practices.
	maxNeedGaps    = 100
	maxNeedSkipped = 100
	// forecastShown is to how many places a forecast is shown.
	forecastShown = 2
)

// ImportNeedWeights reads published weighted populations of practices, checks the file whole and keeps it, or nothing of it. Weights are
// for checks and forecasts; nothing here changes what anybody is paid.
func (s *Service) ImportNeedWeights(stream grpc.ClientStreamingServer[devfundv1.ImportNeedWeightsRequest, devfundv1.NeedImport]) (err error) {
	header, err := upload.Header[*devfundv1.ImportNeedWeightsHeader](stream, reasonFileMalformed)
	if err != nil {
		return err
	}
	if err := upload.Identified(header); err != nil {
		return err
	}
	year, err := planYear("financial_year", header.GetFinancialYear())
	if err != nil {
		return err
	}
	content := upload.Reader[*devfundv1.ImportNeedWeightsHeader](stream, reasonFileMalformed)
	spooled, err := upload.Spool(content, upload.SpoolOptions{MaxBytes: weights.MaxBytes, Reason: reasonFileMalformed})
	if err != nil {
		return fmt.Errorf("take in %q: %w", money.Clip(header.GetFileName()), err)
	}
	defer func() { err = errors.Join(err, spooled.Close()) }()
	if header.GetSha256() != "" && header.GetSha256() != spooled.SHA256 {
		return fault.New(fault.Invalid, reasonFileMalformed, "the file did not come as it was sent: its hash is %s", spooled.SHA256).
			At("sha256", "is not that of the file, without compression")
	}
	file, err := weights.Read(spooled.Open())
	if errors.Is(err, weights.ErrFormat) {
		return fault.New(fault.Invalid, reasonFileMalformed, "%v", err)
	}
	if err != nil {
		return err
	}
	if file.BadCount > 0 {
		return badWeights(file)
	}
	// With the hash of what was sent the header stands for the whole stream, so that another file under the same request_id is told
	// from a repetition.
	request := proto.CloneOf(header)
	request.Sha256 = spooled.SHA256
	answer, err := s.takeNeed(stream.Context(), request, year, file)
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

// flawReasons are the reasons of bad values.
var flawReasons = map[weights.Flaw]string{
	weights.Damaged: reasonFileMalformed, weights.NoDecimal: reasonDecimalMalformed, weights.BelowNothing: rules.ReasonWeightNegative,
	weights.Repeated: rules.ReasonReceiverTwice, weights.NoCode: reasonFileMalformed,
}

// badWeights refuses a file with its bad values by line, column, value and reason.
func badWeights(file *weights.File) error {
	out := fault.New(fault.Invalid, reasonFileMalformed, "%d values are bad beside %d good rows, so nothing was stored: correct them and send the file again",
		file.BadCount, len(file.Rows)).With("bad_values", file.BadCount).With("rows_good", len(file.Rows))
	for _, bad := range file.Bad[:min(len(file.Bad), maxNeedViolations)] {
		field := "line " + strconv.FormatInt(bad.Line, 10)
		if bad.Column != "" {
			field += ", column " + bad.Column
		}
		out.Violations = append(out.Violations, fault.Violation{
			Field: field, Reason: flawReasons[bad.Flaw], Description: fmt.Sprintf("%q: %s", bad.Value, bad.Detail),
		})
	}
	return out
}

// takeNeed keeps a file that was checked. The same bytes for the same year are refused: nothing would change.
func (s *Service) takeNeed(ctx context.Context, request *devfundv1.ImportNeedWeightsHeader, year period.FinancialYear, file *weights.File) (*devfundv1.NeedImport, error) {
	return change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*devfundv1.NeedImport, error) {
		if err := errors.Join(tx.Allow(ctx, needImportLimit), tx.Lock(ctx, needLock)); err != nil {
			return nil, err
		}
		held, err := store.NeedOf(ctx, tx, yearWords(year), request.GetSha256())
		if err == nil {
			return nil, fault.New(fault.Exists, reasonFileAlreadyImported, "the same bytes were imported for %s as %s on %s", year, held.GetImportId(),
				held.GetImportedAt().AsTime().Format(time.DateOnly)).With("import_id", held.GetImportId())
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		out := &devfundv1.NeedImport{
			ImportId: tx.NewID(), FinancialYear: yearWords(year), FileName: request.GetFileName(), Sha256: request.GetSha256(), Source: request.GetSource(),
			Practices: int32(len(file.Rows)), Skipped: file.Skipped[:min(len(file.Skipped), maxNeedSkipped)], //nolint:gosec // rows of a bounded file
			ImportedBy: tx.By.Subject, ImportedAt: timestamp(sqldb.Micros(tx.Now())),
		}
		if err := store.InsertNeed(ctx, tx.Tx, out, file.Rows); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("imported weighted populations of %d practices for %s from %s, for checks and forecasts only", out.GetPractices(), year, out.GetFileName())
		return out, tx.Record(ctx, "devfund/need-weights/"+out.GetImportId(), "", summary)
	})
}

// needOf loads the weights that count for a year: those that were imported last.
func (s *Service) needOf(ctx context.Context, text string) (held *devfundv1.NeedImport, rows []rules.NeedWeight, err error) {
	year, err := planYear("financial_year", text)
	if err != nil {
		return nil, nil, err
	}
	return held, rows, s.db.Read(ctx, func(q sqldb.Querier) error {
		held, err = store.NewestNeed(ctx, q, yearWords(year))
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.Refused, rules.ReasonNeedWeightsNotFound, "no weighted populations of practices are loaded for %s: import the published file", year).
				With("financial_year", year)
		}
		if err != nil {
			return err
		}
		all, err := store.NeedWeights(ctx, q, held.GetImportId())
		rows = make([]rules.NeedWeight, len(all))
		for i, r := range all {
			rows[i] = rules.NeedWeight{Practice: r.Practice, Population: r.Population, PrimaryCare: r.PrimaryMedicalCare, HealthInequality: r.HealthInequality, Final: r.Final}
		}
		return err
	})
}

// CheckNeedWeights holds the weights of a year against the identity of unmet need.
func (s *Service) CheckNeedWeights(ctx context.Context, req *devfundv1.CheckNeedWeightsRequest) (*devfundv1.NeedCheck, error) {
	held, rows, err := s.needOf(ctx, req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	check, err := rules.CheckNeed(rules.UnmetNeed(), rows)
	if err != nil {
		return nil, err
	}
	out := &devfundv1.NeedCheck{
		NeedImport: held, PrimaryShare: decimal(check.PrimaryShare), InequalityShare: decimal(check.InequalityShare), Tolerance: decimal(check.Tolerance),
		Practices: int32(check.Practices), Failing: int32(len(check.Gaps)), Largest: gapToProto(&check.Largest), //nolint:gosec // rows of a bounded file
		Population: decimal(check.Population), FinalWeighted: decimal(check.Final), Passed: check.Passed(),
	}
	for i := range check.Gaps[:min(len(check.Gaps), maxNeedGaps)] {
		out.Gaps = append(out.Gaps, gapToProto(&check.Gaps[i]))
	}
	return out, nil
}

func gapToProto(g *rules.NeedGap) *devfundv1.NeedPracticeGap {
	return &devfundv1.NeedPracticeGap{
		PracticeCode: g.Practice, PrimaryMedicalCare: decimal(g.PrimaryCare), HealthInequality: decimal(g.HealthInequality), Expected: decimal(g.Expected),
		Published: decimal(g.Final), Gap: decimal(g.Gap),
	}
}

// ForecastNeed forecasts adjusted populations of a commissioner's PCNs, or of England's, from the lists of a day.
//
// The scale of a forecast is national. Who asks for one commissioner need not see the lists of others: the population that the weights were
// made for stands for those, which is published.
func (s *Service) ForecastNeed(ctx context.Context, req *devfundv1.ForecastNeedRequest) (*devfundv1.NeedForecast, error) {
	held, rows, err := s.needOf(ctx, req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	day, err := optionalDate("list_date", req.GetListDate())
	if err != nil {
		return nil, err
	}
	if day.IsZero() {
		day = year.ListDate()
	}
	snapshot, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{
		CommissionerCode: req.GetCommissionerCode(), MembershipDate: year.First().First().String(), PopulationReferenceDate: day.String(),
	})
	if err != nil {
		return nil, err
	}
	picture, err := needPicture(snapshot)
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", snapshot.GetSnapshotId(), err)
	}
	if len(picture.lists) == 0 {
		return nil, fault.New(fault.Refused, rules.ReasonPopulationMissing, "no registered lists of %s are loaded: load them, or name another day", day).With("list_date", day)
	}
	lists := picture.lists
	if req.GetCommissionerCode() != "" {
		lists = append(lists, picture.others(rows)...)
	}
	forecast, err := rules.ForecastNeed(rows, lists)
	if err != nil {
		return nil, err
	}
	return picture.forecastToProto(held, day, forecast)
}

// needView is a picture of the register as a forecast needs it.
type needView struct {
	lists     []rules.NeedList
	listed    map[string]bool // practices
	names     map[string]string
	published map[string]*big.Rat // adjusted patients
}

// needPicture reads the lists of practices, and the adjusted patients that are published of PCNs.
func needPicture(snapshot *registerv1.Snapshot) (*needView, error) {
	out := &needView{listed: make(map[string]bool), names: make(map[string]string), published: make(map[string]*big.Rat)}
	for _, pcn := range snapshot.GetPcns() {
		if !pcn.GetOwed() {
			continue
		}
		out.names[pcn.GetPcnCode()] = pcn.GetName()
		adjusted, err := patients(pcn, typev1.PopulationKind_POPULATION_KIND_ADJUSTED)
		if err != nil {
			return nil, err
		}
		out.published[pcn.GetPcnCode()] = adjusted
		for _, practice := range pcn.GetPractices() {
			for _, population := range practice.GetPopulations() {
				if population.GetKind() != typev1.PopulationKind_POPULATION_KIND_REGISTERED || out.listed[practice.GetPracticeCode()] {
					continue
				}
				registered, err := money.ParseExact(population.GetValue())
				if err != nil {
					return nil, err
				}
				out.listed[practice.GetPracticeCode()] = true
				out.lists = append(out.lists, rules.NeedList{Practice: practice.GetPracticeCode(), PCN: pcn.GetPcnCode(), Registered: registered})
			}
		}
	}
	return out, nil
}

// others are practices of other commissioners, with the population that their weights were made for in the place of their list.
func (v *needView) others(rows []rules.NeedWeight) (out []rules.NeedList) {
	for i := range rows {
		if !v.listed[rows[i].Practice] {
			out = append(out, rules.NeedList{Practice: rows[i].Practice, Registered: rows[i].Population})
		}
	}
	return out
}

// forecastToProto writes the forecast of the PCNs of the picture.
func (v *needView) forecastToProto(held *devfundv1.NeedImport, day period.Date, f *rules.NeedForecast) (*devfundv1.NeedForecast, error) {
	out := &devfundv1.NeedForecast{NeedImport: held, ListDate: day.String(), Scale: decimal(f.Scale)}
	registered, total := new(big.Rat), new(big.Rat)
	for i := range f.Rows {
		row := &f.Rows[i]
		if row.PCN == "" {
			continue
		}
		shown := &devfundv1.NeedForecastRow{
			PcnCode: row.PCN, PcnName: v.names[row.PCN], Registered: decimal(row.Registered), Forecast: shownPatients(row.Forecast), PracticesWithoutWeight: row.WithoutWeight,
		}
		if published := v.published[row.PCN]; published != nil && published.Sign() > 0 {
			shown.Published = decimal(published)
			difference := new(big.Rat).Quo(new(big.Rat).Sub(row.Forecast, published), published)
			shown.DifferencePercent = shownPatients(difference.Mul(difference, big.NewRat(100, 1)))
		}
		registered.Add(registered, row.Registered)
		total.Add(total, row.Forecast)
		out.Rows = append(out.Rows, shown)
	}
	out.Registered, out.Forecast = decimal(registered), shownPatients(total)
	return out, nil
}

func shownPatients(value *big.Rat) string {
	return money.Round(value, money.HalfUp, forecastShown).FloatString(forecastShown)
}
