# Raises the limits of the Windows WebDAV client (service WebClient), starts it, and maps an endpoint of raptorgate as a drive.
#
#   powershell -ExecutionPolicy Bypass -File raptorgate.ps1 -Client C.1234567890abcdef [-Drive R:] [-User @USER@]
#
# Without -Client only the limits are raised. Windows asks for an administrator once; the drive is mapped as yourself, because a
# drive of an administrator is not shown to you.
param(
    [string]$Client = '',
    [string]$Drive = '*',
    [string]$User = '@USER@',
    [switch]$OnlyLimits
)
$ErrorActionPreference = 'Stop'
$origin = '@ORIGIN@'
$parameters = 'HKLM:\SYSTEM\CurrentControlSet\Services\WebClient\Parameters'
# As the registry editor shows them; what is higher already stays so.
$wanted = @{
    FileSizeLimitInBytes       = 'ffffffff'  # 4 GiB instead of 50 MB
    FileAttributesLimitInBytes = '0a000000'  # folders of about 500,000 entries instead of 3,000
    BasicAuthLevel             = '@BASIC@'  # 1: passwords through TLS only; 2: also unencrypted
}

if (-not (Get-Service WebClient -ErrorAction SilentlyContinue)) {
    throw 'This Windows has no WebClient service. On a server: Install-WindowsFeature WebDAV-Redirector, then restart it.'
}
$have = Get-ItemProperty $parameters
$missing = @($wanted.Keys | Where-Object { ('{0:x8}' -f $have.$_) -lt $wanted[$_] })
$identity = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
$isAdministrator = $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)

if ($missing.Count -gt 0) {
    if (-not $isAdministrator) {
        $arguments = "-NoProfile -ExecutionPolicy Bypass -File `"$PSCommandPath`" -OnlyLimits"
        Start-Process powershell -Verb RunAs -Wait -ArgumentList $arguments
    } else {
        foreach ($name in $missing) {
            Set-ItemProperty $parameters -Name $name -Value ([Convert]::ToInt32($wanted[$name], 16)) -Type DWord
        }
        Set-Service WebClient -StartupType Manual
        Restart-Service WebClient -Force
        Write-Host 'The limits are raised.'
    }
}
if ($OnlyLimits) { exit }
if ((Get-Service WebClient).Status -ne 'Running') {
    try { Start-Service WebClient } catch { Write-Warning 'WebClient does not run; opening the drive starts it.' }
}
if ($Client -eq '') {
    Write-Host "Map an endpoint with: net use * $origin/raised/CLIENT_ID"
} elseif ($User -eq '') {
    net use $Drive "$origin/raised/$Client"
} else {
    net use $Drive "$origin/raised/$Client" * "/user:$User"
}
