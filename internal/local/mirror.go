package local

import (
	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// MirrorRow is a key's record as the database keeps it.
func MirrorRow(record apikey.Record) postgres.KeyRow {
	row := postgres.KeyRow{
		ID: record.ID, Tenant: record.Tenant, Environment: record.Environment, Name: record.Name, Publishable: record.Publishable,
		Hash: record.Hash, CreatedAt: record.CreatedAt, RevokedAt: record.RevokedAt, ExpiresAt: record.ExpiresAt,
	}
	for _, scope := range record.Scopes {
		row.Scopes = append(row.Scopes, string(scope))
	}
	return row
}

// MirroredRecord is the reverse of MirrorRow.
func MirroredRecord(row postgres.KeyRow) apikey.Record {
	record := apikey.Record{
		ID: row.ID, Tenant: row.Tenant, Environment: row.Environment, Name: row.Name, Publishable: row.Publishable,
		Hash: row.Hash, CreatedAt: row.CreatedAt.UTC(), RevokedAt: row.RevokedAt, ExpiresAt: row.ExpiresAt,
	}
	for _, scope := range row.Scopes {
		record.Scopes = append(record.Scopes, apikey.Scope(scope))
	}
	return record
}
